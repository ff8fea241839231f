// Renders a chart as `helm template` does, for machines without Helm: text/template with Sprig's functions and Helm's own
// (helm.sh/docs/chart_template_guide/function_list/). Not covered: subcharts, hooks' order, post-renderers.
//
// Usage: render CHART KUBE_VERSION [VALUES...]. The release is RENDER_RELEASE (test) in the namespace RENDER_NAMESPACE (hooks). Prints a JSON object: the
// values as they were merged, and the text of each template, by its name.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"sigs.k8s.io/yaml"
)

type object = map[string]interface{}

// files is what .Files offers.
type files struct{ chart string }

func (f files) Get(name string) (string, error) {
	text, err := os.ReadFile(filepath.Join(f.chart, name))
	// Helm gives nothing for a file that is not there, which nobody wants to find out later.
	return string(text), err
}

type versions []string

func (v versions) Has(wanted string) bool {
	for _, version := range v {
		if version == wanted {
			return true
		}
	}
	return false
}

func read(path string) object {
	text, err := os.ReadFile(path)
	stop(err)
	values := object{}
	// By way of JSON, as in Helm: all numbers are float64.
	stop(yaml.Unmarshal(text, &values))
	return values
}

// merge puts what over says into base; null takes a default away.
func merge(base, over object) object {
	for key, value := range over {
		from, both := base[key].(object)
		to, maps := value.(object)
		switch {
		case value == nil:
			delete(base, key)
		case both && maps:
			base[key] = merge(from, to)
		default:
			base[key] = value
		}
	}
	return base
}

func toYaml(value interface{}) (string, error) {
	text, err := yaml.Marshal(value)
	return strings.TrimSuffix(string(text), "\n"), err
}

func fromYaml(text string) (object, error) {
	value := object{}
	err := yaml.Unmarshal([]byte(text), &value)
	return value, err
}

func required(message string, value interface{}) (interface{}, error) {
	if value == nil || value == "" {
		return nil, errors.New(message)
	}
	return value, nil
}

func functions(all *template.Template) template.FuncMap {
	functions := sprig.TxtFuncMap()
	// Helm has them not.
	delete(functions, "env")
	delete(functions, "expandenv")
	execute := func(t *template.Template, data interface{}) (string, error) {
		var out strings.Builder
		err := t.Execute(&out, data)
		return out.String(), err
	}
	functions["include"] = func(name string, data interface{}) (string, error) {
		found := all.Lookup(name)
		if found == nil {
			return "", fmt.Errorf("there is no template %s", name)
		}
		return execute(found, data)
	}
	functions["tpl"] = func(text string, data interface{}) (string, error) {
		clone, err := all.Clone()
		if err != nil {
			return "", err
		}
		parsed, err := clone.New("tpl").Parse(text)
		if err != nil {
			return "", err
		}
		return execute(parsed, data)
	}
	functions["toYaml"] = toYaml
	functions["fromYaml"] = fromYaml
	functions["required"] = required
	functions["fail"] = func(message string) (string, error) { return "", errors.New(message) }
	// Without a cluster nothing is there.
	functions["lookup"] = func(version, kind, namespace, name string) object { return object{} }
	return functions
}

func variable(name, other string) string {
	if value, is := os.LookupEnv(name); is {
		return value
	}
	return other
}

func stop(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	chart, kube := os.Args[1], os.Args[2]
	values := read(filepath.Join(chart, "values.yaml"))
	for _, path := range os.Args[3:] {
		values = merge(values, read(path))
	}
	meta := object{}
	for key, value := range read(filepath.Join(chart, "Chart.yaml")) {
		meta[strings.ToUpper(key[:1])+key[1:]] = value
	}
	numbers := strings.Split(strings.TrimPrefix(kube, "v"), ".")
	scope := object{
		"Values":  values,
		"Chart":   meta,
		"Files":   files{chart},
		"Release": object{"Name": variable("RENDER_RELEASE", "test"), "Namespace": variable("RENDER_NAMESPACE", "hooks"), "Service": "Helm", "Revision": 1, "IsInstall": true, "IsUpgrade": false},
		"Capabilities": object{
			"KubeVersion": object{"Version": kube, "Major": numbers[0], "Minor": numbers[1]},
			"APIVersions": versions{"v1", "apps/v1"},
		},
	}

	all := template.New("chart").Option("missingkey=zero")
	all.Funcs(functions(all))
	var names []string
	stop(filepath.Walk(filepath.Join(chart, "templates"), func(path string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(chart, path)
		if err != nil {
			return err
		}
		if _, err := all.New(name).Parse(string(text)); err != nil {
			return err
		}
		if !strings.HasPrefix(filepath.Base(path), "_") {
			names = append(names, name)
		}
		return nil
	}))
	rendered := map[string]string{}
	for _, name := range names {
		var out bytes.Buffer
		scope["Template"] = object{"Name": name, "BasePath": "templates"}
		stop(all.ExecuteTemplate(&out, name, scope))
		rendered[name] = strings.ReplaceAll(out.String(), "<no value>", "")
	}
	stop(json.NewEncoder(os.Stdout).Encode(object{"values": values, "templates": rendered}))
}
