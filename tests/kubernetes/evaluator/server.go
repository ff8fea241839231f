package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"strings"
	"time"

	registration "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/initializer"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/authentication/user"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/apiserver/pkg/cel/openapi/resolver"
	"k8s.io/apiserver/pkg/util/compatibility"
	utilfeature "k8s.io/apiserver/pkg/util/feature"
	"k8s.io/apiserver/pkg/warning"
	"k8s.io/client-go/discovery"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/openapi"
	"k8s.io/client-go/openapi/openapitest"
	"k8s.io/kube-openapi/pkg/validation/spec"
	strict "sigs.k8s.io/yaml"
)

// server is the part of an API server that policies are: its plugins, and a store in memory.
type server struct {
	mutating   *mutating.Plugin
	validating *validating.Plugin
	mutation   *registration.MutatingAdmissionPolicy
	validation *registration.ValidatingAdmissionPolicy
	client     client
	mapper     meta.RESTMapper
	stop       func()
}

// client knows the schemas that come with the library.
type client struct{ *fake.Clientset }
type schemas struct{ discovery.DiscoveryInterface }

func (c client) Discovery() discovery.DiscoveryInterface { return schemas{c.Clientset.Discovery()} }
func (schemas) OpenAPIV3() openapi.Client                { return openapitest.NewEmbeddedFileClient() }

var (
	podKind     = corev1.SchemeGroupVersion.WithKind("Pod")
	podResource = corev1.SchemeGroupVersion.WithResource("pods")
)

func newServer(policies []byte) *server {
	s := &server{mutation: new(registration.MutatingAdmissionPolicy), validation: new(registration.ValidatingAdmissionPolicy)}
	mutates, validates := new(registration.MutatingAdmissionPolicyBinding), new(registration.ValidatingAdmissionPolicyBinding)
	objects := []runtime.Object{s.mutation, mutates, s.validation, validates}
	reader := yaml.NewYAMLReader(bufferOf(policies))
	for _, object := range objects {
		if err := strict.UnmarshalStrict(must(reader.Read()), object); err != nil {
			log.Fatal(err)
		}
	}
	if _, err := reader.Read(); !errors.Is(err, io.EOF) {
		log.Fatal("there are more objects than four")
	}
	// What a server would pass over in silence is an error here.
	fail := registration.Fail
	s.mutation.Spec.FailurePolicy = &fail
	for _, resources := range []*registration.MatchResources{mutates.Spec.MatchResources, validates.Spec.MatchResources, s.mutation.Spec.MatchConstraints, s.validation.Spec.MatchConstraints} {
		withDefaults(resources)
	}
	for name, labels := range map[string]map[string]string{
		"shop": {"hookgate.dev/injection": "enabled"}, "bystander": {}, "kube-system": {"hookgate.dev/injection": "enabled"},
	} {
		labels["kubernetes.io/metadata.name"] = name
		objects = append(objects, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels}})
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	s.client = client{fake.NewClientset(objects...)}
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(podKind, meta.RESTScopeNamespace)
	s.mapper = mapper
	factory := informers.NewSharedInformerFactory(s.client, 0)
	s.mutating, s.validating = must(mutating.NewPlugin(nil)), must(validating.NewPlugin(nil))
	all := initializer.New(s.client, dynamicfake.NewSimpleDynamicClient(scheme.Scheme), factory, authorizerfactory.NewAlwaysAllowAuthorizer(),
		utilfeature.DefaultFeatureGate, compatibility.DefaultBuildEffectiveVersion(), ctx.Done(), mapper)
	for _, plugin := range []admission.Interface{s.mutating, s.validating} {
		all.Initialize(plugin)
		if err := plugin.(admission.InitializationValidator).ValidateInitialization(); err != nil {
			log.Fatal(err)
		}
	}
	factory.Start(ctx.Done())
	factory.WaitForCacheSync(ctx.Done())
	s.waitUntilReady()
	return s
}

// withDefaults is what the server adds to such an object.
func withDefaults(resources *registration.MatchResources) {
	if resources.NamespaceSelector == nil {
		resources.NamespaceSelector = &metav1.LabelSelector{}
	}
	if resources.ObjectSelector == nil {
		resources.ObjectSelector = &metav1.LabelSelector{}
	}
	if resources.MatchPolicy == nil {
		equivalent := registration.Equivalent
		resources.MatchPolicy = &equivalent
	}
}

// waitUntilReady waits until the plugins have the policies and the schema of pods.
func (s *server) waitUntilReady() {
	group := int64(1000) // or a policy with volumes other than emptyDir leaves it
	sure := &corev1.Pod{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{Name: "sure", Labels: map[string]string{"hookgate.dev/inject": "true"}},
		Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}}, SecurityContext: &corev1.PodSecurityContext{FSGroup: &group}},
	}
	refused := sure.DeepCopy()
	refused.Spec.HostNetwork = true
	var err error
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var after *corev1.Pod
		var warnings []string
		if after, _, err = s.create("shop", sure); err != nil || len(after.Spec.InitContainers) == 0 {
			continue
		}
		if _, warnings, err = s.create("shop", refused); err == nil && len(warnings) > 0 {
			return
		}
	}
	log.Fatalf("the plugins never got ready: %v", err)
}

type recorder []string

func (r *recorder) AddWarning(_, text string) { *r = append(*r, text) }

// create does to a pod what becomes of it on its way into the store; twice if a policy may run again.
func (s *server) create(namespace string, pod *corev1.Pod) (*corev1.Pod, []string, error) {
	pod = pod.DeepCopy()
	pod.Namespace = namespace
	attributes := admission.NewAttributesRecord(pod, nil, podKind, namespace, pod.Name, podResource, "", admission.Create,
		&metav1.CreateOptions{}, false, &user.DefaultInfo{Name: "somebody"})
	interfaces := admission.NewObjectInterfacesFromScheme(scheme.Scheme)
	warnings := new(recorder)
	ctx := warning.WithWarningRecorder(context.Background(), warnings)
	if err := s.mutating.Admit(ctx, attributes, interfaces); err != nil {
		return nil, nil, err
	}
	if again := attributes.GetReinvocationContext(); again.ShouldReinvoke() {
		again.SetIsReinvoke()
		if err := s.mutating.Admit(ctx, attributes, interfaces); err != nil {
			return nil, nil, fmt.Errorf("reinvoked: %w", err)
		}
	}
	if err := s.validating.Validate(ctx, attributes, interfaces); err != nil {
		return nil, nil, err
	}
	after := attributes.GetObject().(*corev1.Pod)
	after.Namespace, after.TypeMeta = "", metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}
	return after, *warnings, nil
}

// typeCheck is what a server finds out when somebody applies the policies: whether the expressions compile, for this
// version and for the first that had such policies, and whether the fields that they name are a pod's.
func (s *server) typeCheck() (faults []string) {
	options := cel.OptionalVariableDeclarations{HasAuthorizer: true}
	patchOptions := options
	patchOptions.HasPatchTypes = true
	for _, minor := range []uint{33, 34, 35, 36} {
		compiler := must(cel.NewCompositedCompiler(environment.MustBaseEnvSet(version.MajorMinor(1, minor))))
		check := func(what string, accessor cel.ExpressionAccessor, options cel.OptionalVariableDeclarations) {
			if result := compiler.CompileCELExpression(accessor, options, environment.NewExpressions); result.Error != nil {
				faults = append(faults, fmt.Sprintf("1.%d: %s: %v", minor, what, result.Error))
			}
		}
		for _, condition := range append(s.mutation.Spec.MatchConditions, s.validation.Spec.MatchConditions...) {
			check(condition.Name, &validating.ValidationCondition{Expression: condition.Expression}, options)
		}
		for _, validation := range s.validation.Spec.Validations {
			check(validation.Message, &validating.ValidationCondition{Expression: validation.Expression}, options)
		}
		for _, variable := range s.mutation.Spec.Variables {
			if result := compiler.CompileAndStoreVariable(&mutating.Variable{Name: variable.Name, Expression: variable.Expression}, options, environment.NewExpressions); result.Error != nil {
				faults = append(faults, fmt.Sprintf("1.%d: %s: %v", minor, variable.Name, result.Error))
			}
		}
		for _, mutation := range s.mutation.Spec.Mutations {
			check("mutation", &patch.JSONPatchCondition{Expression: mutation.JSONPatch.Expression}, patchOptions)
		}
	}
	// Its conditions as validations too, since a server looks at the fields of those only.
	checked := s.validation.DeepCopy()
	for _, condition := range append(s.mutation.Spec.MatchConditions, s.validation.Spec.MatchConditions...) {
		checked.Spec.Validations = append(checked.Spec.Validations, registration.Validation{Expression: condition.Expression})
	}
	for _, variable := range s.mutation.Spec.Variables {
		checked.Spec.Variables = append(checked.Spec.Variables, registration.Variable(variable))
		checked.Spec.Validations = append(checked.Spec.Validations, registration.Validation{Expression: "variables." + variable.Name + " == variables." + variable.Name})
	}
	schemas := newer{&resolver.ClientDiscoveryResolver{Discovery: s.client.Discovery()}}
	checker := &validating.TypeChecker{SchemaResolver: schemas, RestMapper: s.mapper}
	planted := checked.DeepCopy()
	planted.Spec.Validations = []registration.Validation{{Expression: "has(object.spec.hostNetwerk)"}}
	if len(checker.Check(planted)) == 0 {
		log.Fatal("the type check finds nothing")
	}
	for _, found := range checker.Check(checked) {
		faults = append(faults, strings.TrimSpace(found.FieldRef+": "+found.Warning))
	}
	return faults
}

// newer adds what the library's schema of pods has not heard of: resources of the whole pod came with 1.32.
type newer struct{ resolver.SchemaResolver }

func (n newer) ResolveSchema(kind schema.GroupVersionKind) (*spec.Schema, error) {
	pod, err := n.SchemaResolver.ResolveSchema(kind)
	if err == nil {
		fields := pod.Properties["spec"].Properties
		fields["resources"] = fields["containers"].Items.Schema.Properties["resources"]
	}
	return pod, err
}

func bufferOf(text []byte) *bufio.Reader { return bufio.NewReader(bytes.NewReader(text)) }
