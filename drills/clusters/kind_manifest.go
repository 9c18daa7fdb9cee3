package clusters

import (
	"bytes"
	"fmt"
	"strings"
	"text/template"

	"sigs.k8s.io/yaml"
)

// fillIn does with a manifest of the node image's what kind does with it: fills its template in, and tells the network's pods where the API server is.
// Source: kind v0.33.0, pkg/cluster/internal/create/actions/installcni.
func (c *kindCluster) fillIn(manifest []byte) ([]byte, error) {
	if bytes.Contains(manifest, []byte("would you kindly template this file")) {
		t, err := template.New("manifest").Parse(string(manifest))
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		if err := t.Execute(&b, struct{ PodSubnet string }{c.podSubnet()}); err != nil {
			return nil, err
		}
		manifest = b.Bytes()
	}
	if bytes.Contains(manifest, []byte("would you kindly patch this file")) {
		return addEnvironment(manifest, "CONTROL_PLANE_ENDPOINT", fmt.Sprintf("%s:%d", c.control().name, apiServerPort))
	}
	return manifest, nil
}

func (c *kindCluster) podSubnet() string {
	if c.spec.Kind != nil && c.spec.Kind.Networking.PodSubnet != "" {
		return c.spec.Kind.Networking.PodSubnet
	}
	return "10.244.0.0/16"
}

// addEnvironment gives the first container of every DaemonSet in a manifest a variable.
func addEnvironment(manifest []byte, name, value string) ([]byte, error) {
	var out []string
	for text := range strings.SplitSeq(string(manifest), "\n---") {
		var object map[string]any
		if err := yaml.Unmarshal([]byte(text), &object); err != nil {
			return nil, err
		}
		if object == nil {
			continue
		}
		if object["kind"] == "DaemonSet" {
			container, err := firstContainer(object)
			if err != nil {
				return nil, err
			}
			env, _ := container["env"].([]any)
			container["env"] = append(env, map[string]any{"name": name, "value": value})
		}
		b, err := yaml.Marshal(object)
		if err != nil {
			return nil, err
		}
		out = append(out, string(b))
	}
	return []byte(strings.Join(out, "---\n")), nil
}

func firstContainer(daemonSet map[string]any) (map[string]any, error) {
	at := any(daemonSet)
	for _, key := range []string{"spec", "template", "spec"} {
		m, _ := at.(map[string]any)
		at = m[key]
	}
	spec, _ := at.(map[string]any)
	containers, _ := spec["containers"].([]any)
	if len(containers) > 0 {
		if c, ok := containers[0].(map[string]any); ok {
			return c, nil
		}
	}
	return nil, fmt.Errorf("a DaemonSet without containers")
}
