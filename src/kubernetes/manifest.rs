//! Where the pods are in what people write: workloads of all kinds, and lists of them.

use super::Tree;

/// A pod, or the template that pods are made from, within an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Where it is: a JSON pointer (RFC 6901), empty for the object itself.
    pub pointer: String,
    /// What a person calls the object that it belongs to: kind and name.
    pub title: String,
    /// The pod belongs to a Job.
    pub is_job: bool,
}

/// The pods and pod templates of an object, in order; none if it is something else, such as a Service.
#[must_use]
pub fn places(object: &Tree) -> Vec<Place> {
    let mut places = Vec::new();
    collect(object, "", &mut places);
    places
}

fn collect(object: &Tree, prefix: &str, places: &mut Vec<Place>) {
    let Some(kind) = object.get("kind").and_then(Tree::text) else {
        return;
    };
    let (path, is_job) = match kind {
        "Pod" => ("", false),
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "ReplicationController" => {
            ("/spec/template", false)
        }
        "Job" => ("/spec/template", true),
        "CronJob" => ("/spec/jobTemplate/spec/template", true),
        "PodTemplate" => ("/template", false),
        "List" => {
            for (index, item) in object
                .get("items")
                .map(Tree::list)
                .unwrap_or_default()
                .iter()
                .enumerate()
            {
                // Lists of lists are nothing that Kubernetes knows.
                if item.get("kind").and_then(Tree::text) != Some("List") {
                    collect(item, &format!("{prefix}/items/{index}"), places);
                }
            }
            return;
        }
        _ => return,
    };
    let name = ["name", "generateName"];
    let name = name
        .iter()
        .find_map(|name| object.at(&["metadata", name])?.text());
    places.push(Place {
        pointer: format!("{prefix}{path}"),
        title: format!("{}/{}", kind.to_lowercase(), name.unwrap_or("?")),
        is_job,
    });
}
