package crd

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/restore-drill/restore-drill/internal/evidence"
)

const spec = `{
	"group": "example.com", "scope": "Namespaced", "names": {"kind": "Shop", "plural": "shops"}, "conversion": {"strategy": "None"},
	"versions": [
		{"name": "v1", "served": true, "storage": true, "additionalPrinterColumns": [{"name": "Size"}], "schema": {"openAPIV3Schema": {
			"type": "object", "description": "A shop.", "properties": {
				"description": {"type": "string", "maxLength": 20},
				"size": {"type": "integer", "default": 1},
				"parts": {"type": "array", "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string", "pattern": "^[a-z]+$"}}}},
				"labels": {"type": "object", "additionalProperties": {"type": "string", "enum": ["a", "b"]}},
				"free": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "x-kubernetes-validations": [{"rule": "true"}]}
			}}}},
		{"name": "v1beta1", "served": false, "storage": false, "schema": {"openAPIV3Schema": {"type": "object"}}}
	]}`

func definition(text string) evidence.CRD {
	return evidence.CRD{Name: "shops.example.com", Spec: json.RawMessage(text)}
}

func TestCompare(t *testing.T) {
	for name, test := range map[string]struct {
		old, new, class, says string
	}{
		"printer columns":              {`"Size"}`, `"Area"}`, Presentation, `v1 additionalPrinterColumns was [{"name":"Size"}] and is [{"name":"Area"}]`},
		"words":                        {`A shop.`, `One shop.`, Presentation, `v1 description was "A shop." and is "One shop."`},
		"a field called so":            {`"description": {"type": "string", "maxLength": 20},`, ``, Fields, `v1 description is gone, and was {"maxLength":20,"type":"string"}`},
		"its rule":                     {`"maxLength": 20`, `"maxLength": 9`, Validation, `v1 description maxLength was 20 and is 9`},
		"a default":                    {`"default": 1`, `"default": 2`, Defaults, `v1 size default was 1 and is 2`},
		"a default that is gone":       {`, "default": 1`, ``, Defaults, `v1 size default is gone, and was 1`},
		"in a list":                    {`^[a-z]+$`, `^[a-c]+$`, Validation, `v1 parts[].name pattern was "^[a-z]+$" and is "^[a-c]+$"`},
		"in a map":                     {`["a", "b"]`, `["a"]`, Validation, `v1 labels[] enum was ["a","b"] and is ["a"]`},
		"a map of anything":            {`{"type": "string", "enum": ["a", "b"]}`, `true`, Fields, `v1 labels[] was {"enum":["a","b"],"type":"string"} and is true`},
		"required":                     {`["name"]`, `["name", "size"]`, Validation, `v1 parts[] required was ["name"] and is ["name","size"]`},
		"pruning":                      {`"x-kubernetes-preserve-unknown-fields": true`, `"x-kubernetes-preserve-unknown-fields": false`, Fields, `v1 free x-kubernetes-preserve-unknown-fields was true and is false`},
		"a rule":                       {`"rule": "true"`, `"rule": "1 == 1"`, Rules, `v1 free x-kubernetes-validations was [{"rule":"true"}] and is [{"rule":"1 == 1"}]`},
		"served":                       {`"served": false`, `"served": true`, Versions, `v1beta1 served was false and is true`},
		"a version":                    {`"v1beta1"`, `"v2"`, Versions, `version v1beta1 is gone, and was {"served":false,"storage":false}`},
		"conversion":                   {`"None"`, `"Webhook"`, Conversion, `conversion was {"strategy":"None"} and is {"strategy":"Webhook"}`},
		"names":                        {`"kind": "Shop"`, `"kind": "Store"`, General, `names was {"kind":"Shop","plural":"shops"} and is {"kind":"Store","plural":"shops"}`},
		"of a version, not known here": {`"name": "v1",`, `"name": "v1", "selectableFields": [],`, General, `v1 selectableFields is new: []`},
		"not known here":               {`"group"`, `"shard": "x", "group"`, General, `shard is new: "x"`},
		"keyword not known here":       {`"size": {`, `"size": {"x-new": 1, `, Validation, `v1 size x-new is new: 1`},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, 1, strings.Count(spec, test.old))
			changes, err := Compare(definition(spec), definition(strings.Replace(spec, test.old, test.new, 1)))
			require.NoError(t, err)
			require.NotEmpty(t, changes)
			require.Equal(t, test.class, changes[0].Class)
			require.Equal(t, test.says, changes[0].String())
			for _, c := range changes[1:] {
				require.Equal(t, "version v2", c.What, "one thing has changed")
			}
		})
	}
	same, err := Compare(definition(spec), definition(spec))
	require.NoError(t, err)
	require.Empty(t, same)

	var reordered map[string]any
	require.NoError(t, json.Unmarshal([]byte(spec), &reordered))
	versions := reordered["versions"].([]any)
	versions[0], versions[1] = versions[1], versions[0]
	text, err := json.Marshal(reordered)
	require.NoError(t, err)
	changes, err := Compare(definition(spec), definition(string(text)))
	require.NoError(t, err)
	require.Equal(t, []Change{{Presentation, "order of the versions", `["v1","v1beta1"]`, `["v1beta1","v1"]`}}, changes)

	_, err = Compare(definition(spec), definition("["))
	require.EqualError(t, err, "compare definition shops.example.com: unexpected end of JSON input")
	require.Equal(t, `"`+strings.Repeat("ü", 59)+"...", shown(strings.Repeat("ü", 200)), "long values are cut, and not within a letter")
}

func TestDemands(t *testing.T) {
	d, err := Parse(definition(spec))
	require.NoError(t, err)
	for field, want := range map[string]string{
		"description":   "maxLength 20",
		"parts[3].name": `pattern "^[a-z]+$"`,
		"parts[3]":      `required ["name"]`,
		"labels[x.y]":   `enum ["a","b"]`,
		"free":          `x-kubernetes-validations [{"rule":"true"}]`,
		"size":          "",
		"nowhere.else":  "",
	} {
		require.Equal(t, want, d.Demands("v1", field), field)
	}
	require.Empty(t, d.Demands("v3", "description"))
	_, err = Parse(definition("{"))
	require.EqualError(t, err, "parse definition shops.example.com: unexpected end of JSON input")
}

// TestWhatTheServerSays is kept without the values that it quotes.
func TestWhatTheServerSays(t *testing.T) {
	const secret = "hunter2"
	path := field.NewPath("spec", "password")
	invalid := apierrors.NewInvalid(schema.GroupKind{Group: "example.com", Kind: "Shop"}, "x", field.ErrorList{
		field.Invalid(path, secret, "too short: "+secret), field.NotSupported(path, secret, []string{"a"}), field.Required(path.Child("salt"), secret),
		field.Invalid(nil, nil, "some validation rules were not checked"),
	})
	require.Equal(t, []string{"spec.password: Invalid value", "spec.password: Unsupported value", "spec.password.salt: Required value"}, refused(invalid))

	policy := apierrors.NewInvalid(schema.GroupKind{Kind: "Shop"}, "x", nil)
	policy.ErrStatus.Message = "policy says no to " + secret
	require.Nil(t, refused(policy), "it is not the definition that refuses")
	require.Equal(t, "422 Unprocessable Entity (Invalid)", undecided(policy))
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "shops"}, "x", errors.New(secret))
	require.Nil(t, refused(forbidden))
	require.Equal(t, "403 Forbidden (Forbidden)", undecided(forbidden))
	require.Equal(t, "connection refused", undecided(errors.New("connection refused\nand more")))

	const webhook = "conversion webhook for example.com/v1, Kind=Shop failed: "
	unanswered := apierrors.NewInternalError(errors.New(webhook + `Post "https://c.shop.svc:443/": service "c" not found`))
	require.Equal(t, []string{webhook + `Post "https://c.shop.svc:443/": service "c" not found`}, refused(unanswered))
	answered := apierrors.NewInternalError(errors.New(webhook + "cannot convert " + secret))
	require.Equal(t, []string{strings.TrimSuffix(webhook, ": ")}, refused(answered))

	require.False(t, passing(unanswered))
	require.False(t, passing(apierrors.NewTooManyRequests("storage is (re)initializing: failed to list example.com/v1, Kind=Shop: it is of an unknown version", 1)))
	require.True(t, passing(apierrors.NewTooManyRequests("too many requests, please try again later", 1)))
	require.True(t, passing(apierrors.NewServiceUnavailable("not yet")))
	require.True(t, passing(errors.New("connection refused")))

	strict := apierrors.NewBadRequest(`strict decoding error: unknown field "spec.note", unknown field "spec.parts[0].x"`)
	require.Equal(t, []string{"spec.note", "spec.parts[0].x"}, dropped(strict))
	require.Nil(t, dropped(forbidden))
	require.Nil(t, dropped(nil))
	require.Len(t, brief(errors.New(strings.Repeat("x", 1000))), maxBrief+3)
}
