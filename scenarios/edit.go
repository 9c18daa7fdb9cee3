package scenarios

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Edit sets a value of a scenario file at a path of keys, such as spec.objectives.rto, and keeps the rest as it is written, comments too. Keys that are
// not there are made. The text that comes out is the scenario that is run, judged and kept as evidence: Parse finds what is wrong with it.
func Edit(text []byte, path string, value any) ([]byte, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("set %s: %w", path, err)
	}
	if doc.Kind != yaml.DocumentNode {
		return nil, fmt.Errorf("set %s: the scenario is empty", path)
	}
	content, err := node(value)
	if err != nil {
		return nil, fmt.Errorf("set %s: %w", path, err)
	}
	if err := set(doc.Content[0], strings.Split(path, "."), content); err != nil {
		return nil, fmt.Errorf("set %s: %w", path, err)
	}
	var out bytes.Buffer
	e := yaml.NewEncoder(&out)
	e.SetIndent(2)
	if err := errors.Join(e.Encode(&doc), e.Close()); err != nil {
		return nil, fmt.Errorf("set %s: %w", path, err)
	}
	return out.Bytes(), nil
}

// node of a value by its json tags, in block style.
func node(value any) (*yaml.Node, error) {
	b, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(b, &doc); err != nil { // JSON is YAML
		return nil, err
	}
	block(doc.Content[0])
	return doc.Content[0], nil
}

func block(n *yaml.Node) {
	n.Style = 0
	for _, c := range n.Content {
		block(c)
	}
}

func set(in *yaml.Node, keys []string, value *yaml.Node) error {
	if in.Kind == yaml.ScalarNode && in.Tag == "!!null" {
		*in = yaml.Node{Kind: yaml.MappingNode}
	}
	if in.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d is no map that could hold %s", in.Line, keys[0])
	}
	for i := 0; i < len(in.Content); i += 2 {
		if in.Content[i].Value != keys[0] {
			continue
		}
		if len(keys) == 1 {
			value.LineComment, value.HeadComment, value.FootComment = in.Content[i+1].LineComment, in.Content[i+1].HeadComment, in.Content[i+1].FootComment
			in.Content[i+1] = value
			return nil
		}
		return set(in.Content[i+1], keys[1:], value)
	}
	for i := len(keys) - 1; i > 0; i-- {
		value = &yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Value: keys[i]}, value}}
	}
	in.Content = append(in.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: keys[0]}, value)
	return nil
}
