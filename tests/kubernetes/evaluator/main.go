// Compares `hookgate kubernetes policy` with `hookgate inject`, pod by pod, by Kubernetes' own admission plugins.
// Run by scripts/evaluate-policy, which says what it needs.
//
// Usage: evaluator HOOKGATE POD_FILE...
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	jsonpatch "github.com/evanphx/json-patch/v5"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/diff"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/klog/v2"
	strict "sigs.k8s.io/yaml"
)

// Settings of a whole cluster, as flags of both commands have them.
var clusters = []string{
	"config=gate",
	"config=gate secrets=webhooks",
	"sources=stripe=stripe secrets=webhooks",
	"sources=stripe=stripe,my-app_2=github secrets=webhooks config=gate listen-port=9000",
	"config=gate upstream=http://127.0.0.1:3000 listen-host=[::]",
	"config=gate spool=ephemeral:fast spool-size=5Gi",
	"config=gate run-as-user=1234 drain-seconds=25 upstream=unix:/run/my.app+1/web.sock",
	"config=gate cpu-limit=1 memory-limit=none cpu-request=none image-pull-policy=Always log-level=debug",
}

// What a policy follows; a pod with another setting of its own is left alone.
var followed = map[string]string{"inject": "", "config": "config=", "secrets": "secrets=", "listen-port": ""}

type pod struct {
	name   string
	object *corev1.Pod
}

func main() {
	log.SetFlags(0)
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
	hookgate, files := os.Args[1], os.Args[2:]
	pods, unreadable := read(files)
	log.Printf("%d pods; %d documents that are no pods which a server would take", len(pods), unreadable)
	differences := 0
	for _, cluster := range clusters {
		counts := map[string]int{}
		server := newServer(must(exec.Command(hookgate, append([]string{"kubernetes", "policy", "--kube-version", "1.36"}, flags(cluster)...)...).Output()))
		for _, text := range server.typeCheck() {
			differences++
			log.Printf("DIFFERENCE %s: type check: %s", cluster, text)
		}
		compared := pods
		if strings.Contains(cluster, "spool=") {
			compared = append(compared[:len(compared):len(compared)], withGroup(pods)...)
		}
		for _, one := range compared {
			class, difference := compare(hookgate, cluster, server, one.object)
			counts[class]++
			if difference != "" {
				differences++
				log.Printf("DIFFERENCE %s: %s: %s", cluster, one.name, difference)
			}
		}
		server.stop()
		log.Printf("%v  %s", counts, cluster)
		for _, class := range []string{"injected", "skipped", "unselected", "restricted"} {
			if counts[class] == 0 {
				log.Fatalf("no pod was %s: the comparison shows nothing", class)
			}
		}
	}
	if differences > 0 {
		log.Fatalf("%d differences", differences)
	}
	log.Print("no difference")
}

// withGroup gives pods what a volume that is no emptyDir asks for.
func withGroup(pods []pod) (changed []pod) {
	for _, one := range pods {
		object, group := one.object.DeepCopy(), int64(1000)
		if object.Spec.SecurityContext == nil {
			object.Spec.SecurityContext = new(corev1.PodSecurityContext)
		}
		object.Spec.SecurityContext.FSGroup = &group
		changed = append(changed, pod{one.name + " with an fsGroup", object})
	}
	return changed
}

// compare says what became of a pod, and what is wrong with that.
func compare(hookgate, cluster string, server *server, before *corev1.Pod) (class, difference string) {
	after, warnings, err := server.create("shop", before)
	if err != nil {
		return "error", err.Error()
	}
	changed := !equality.Semantic.DeepEqual(before, after)
	if again, _, err := server.create("shop", after); err != nil || !equality.Semantic.DeepEqual(again, after) {
		return "error", fmt.Sprintf("a second time: %v %s", err, diff.Diff(after, again))
	}
	for _, namespace := range []string{"bystander", "kube-system"} {
		if other, warnings, err := server.create(namespace, before); err != nil || len(warnings) > 0 || !equality.Semantic.DeepEqual(other, before) {
			return "error", fmt.Sprintf("namespace %s is touched: %v %v", namespace, err, warnings)
		}
	}
	wanted, reason := inject(hookgate, cluster, before)
	switch {
	case before.Labels["hookgate.dev/inject"] != "true":
		if changed || len(warnings) > 0 {
			return "unselected", "it does not ask for a gate: " + strings.Join(warnings, "; ")
		}
		return "unselected", ""
	case changed && wanted == nil:
		return "injected", "`hookgate inject` leaves it: " + reason
	case changed && !equality.Semantic.DeepEqual(wanted, after):
		return "injected", diff.Diff(wanted, after)
	case changed && len(warnings) > 0:
		return "injected", "warned of: " + strings.Join(warnings, "; ")
	case changed:
		return "injected", ""
	}
	class = "skipped"
	if wanted != nil {
		class = "restricted"
		if !hasOther(cluster, before) {
			return class, "`hookgate inject` adds a gate; warnings: " + strings.Join(warnings, "; ")
		}
	}
	if hasGate := strings.HasPrefix(reason, "it has a gate"); hasGate != (len(warnings) == 0) {
		return class, fmt.Sprintf("warnings %q, and `hookgate inject` says %q", warnings, reason)
	}
	return class, ""
}

// hasOther tells whether the pod has a setting that no policy follows, or takes one away.
func hasOther(cluster string, pod *corev1.Pod) bool {
	for key, value := range pod.Annotations {
		name, isSetting := strings.CutPrefix(key, "hookgate.dev/")
		needs, isFollowed := followed[name]
		if isSetting && (value == "" || !isFollowed || !strings.Contains(" "+cluster, " "+needs)) {
			return true
		}
	}
	return false
}

// inject is what `hookgate inject` makes of a pod, without the annotation by which it takes that back; or why nothing.
func inject(hookgate, cluster string, before *corev1.Pod) (*corev1.Pod, string) {
	manifest, prefix := must(json.Marshal(before)), ""
	for _, owner := range before.OwnerReferences {
		if owner.Kind == "Job" && owner.Controller != nil && *owner.Controller {
			prefix = "/spec/template"
			job := map[string]any{"apiVersion": "batch/v1", "kind": "Job", "metadata": map[string]any{"name": "job"},
				"spec": map[string]any{"template": map[string]any{"metadata": before.ObjectMeta, "spec": before.Spec}}}
			manifest = must(json.Marshal(job))
		}
	}
	command := exec.Command(hookgate, append([]string{"inject", "-o", "json-patch", "--kube-version", "1.36"}, flags(cluster)...)...)
	command.Stdin = bytes.NewReader(manifest)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil || len(bytes.TrimSpace(stdout.Bytes())) <= 2 {
		text := strings.TrimSpace(stderr.String())
		if at := strings.Index(text, "left as it is: "); at >= 0 {
			text = text[at+len("left as it is: "):]
		}
		return nil, text
	}
	steps := bytes.ReplaceAll(stdout.Bytes(), []byte(`"path":"`+prefix), []byte(`"path":"`))
	steps = bytes.ReplaceAll(steps, []byte(`"path": "`+prefix), []byte(`"path": "`))
	patched := must(must(jsonpatch.DecodePatch(steps)).Apply(must(json.Marshal(before))))
	after := new(corev1.Pod)
	if err := strict.UnmarshalStrict(patched, after); err != nil {
		log.Fatalf("`hookgate inject` makes a pod that is none: %v\n%s", err, patched)
	}
	if _, marked := after.Annotations["hookgate.dev/status"]; !marked {
		log.Fatalf("no status in %s", patched)
	}
	delete(after.Annotations, "hookgate.dev/status")
	return after, strings.TrimSpace(stderr.String())
}

func flags(cluster string) []string {
	// Whoever makes a policy says where the image is.
	flags := []string{"--set", "image=registry.example.com/hookgate:1"}
	for _, setting := range strings.Fields(cluster) {
		flags = append(flags, "--set", setting)
	}
	return flags
}

// read takes pods out of files: those that a server would come to show to a policy.
func read(files []string) (pods []pod, unreadable int) {
	for _, file := range files {
		reader := yaml.NewYAMLReader(bufferOf(must(os.ReadFile(file))))
		for {
			document, err := reader.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			object := new(corev1.Pod)
			if err != nil || strict.UnmarshalStrict(document, object) != nil || object.Kind != "Pod" || len(object.Spec.Containers) == 0 {
				unreadable++
				continue
			}
			object.APIVersion, object.Namespace = "v1", ""
			pods = append(pods, pod{filepath.Base(file) + ":" + object.Name, object})
		}
	}
	return pods, unreadable
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
