package census

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var testKey = []byte("key of the run")

func canonical(t testing.TB, object string, secret bool) string {
	t.Helper()
	form, err := Canonical([]byte(object), secret, testKey)
	require.NoError(t, err)
	return string(form)
}

func digestOf(value string) string {
	return fmt.Sprintf("hmac-sha256:%x", newDigester(testKey).of([]byte(value)))
}

func TestCanonical(t *testing.T) {
	for name, tc := range map[string]struct{ in, want string }{
		"empty":           {` { } `, `{}`},
		"sorted":          {`{"b": 1, "a" : [ {"d":null,"c":true} , [], {} ], "":false}`, `{"":false,"a":[{"c":true,"d":null},[],{}],"b":1}`},
		"kept apart":      {`{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"7","name":"p","namespace":"n"}}`, `{"metadata":{"name":"p","namespace":"n"}}`},
		"nothing left":    {`{"metadata":{"resourceVersion":"7"}}`, `{"metadata":{}}`},
		"managed fields":  {`{"metadata":{"managedFields":[{"a":"]\\\"}"},{}],"name":"p"},"x":1}`, `{"metadata":{"name":"p"},"x":1}`},
		"only at the top": {`{"spec":{"kind":"x","apiVersion":"y","metadata":{"managedFields":[],"resourceVersion":"1"}}}`, `{"spec":{"apiVersion":"y","kind":"x","metadata":{"managedFields":[],"resourceVersion":"1"}}}`},
		"strings":         {`{"a":"\u003cb\u003e \/ \u00e9 \ud83d\ude00 \" \\ \n\t\u0001"}`, "{\"a\":\"<b> / é 😀 \\\" \\\\ \\n\\t\\u0001\"}"},
		"escaped names":   {`{"b":1,"\u0061":2}`, `{"a":2,"b":1}`},
		"numbers": {`[0,-0,1,1.0,10e-1,1.50,-2.5E+1,100,1e2,1E20,123456789012345678901,1e-3,0.001,0e9,18446744073709551615,1e-30,12.5e-30,123456789012345678901.5]`,
			`[0,0,1,1,1,1.5,-25,100,100,1e20,123456789012345678901,0.001,0.001,0,18446744073709551615,1e-30,125e-31,123456789012345678901.5]`},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "numbers" {
				tc.in, tc.want = `{"n":`+tc.in+`}`, `{"n":`+tc.want+`}`
			}
			require.Equal(t, tc.want, canonical(t, tc.in, false))
		})
	}
}

func TestCanonicalSecret(t *testing.T) {
	in := `{"data":{"b":"cGxhbnRlZA==","a":""},"stringData":{"c":"planted"},"type":"Opaque",
		"metadata":{"name":"s","annotations":{"kubectl.kubernetes.io/last-applied-configuration":"{\"data\":{\"b\":\"cGxhbnRlZA==\"}}"},"labels":{"l":"kept"}}}`
	form := canonical(t, in, true)
	require.NotContains(t, form, "cGxhbnRlZA==")
	require.NotContains(t, form, "planted")
	require.Contains(t, form, `"data":{"a":"`+digestOf(`""`)+`","b":"`+digestOf(`"cGxhbnRlZA=="`)+`"}`)
	require.Contains(t, form, `"stringData":{"c":"`+digestOf(`"planted"`)+`"}`)
	require.Contains(t, form, `"labels":{"l":"kept"}`)
	require.Equal(t, `{"data":null}`, canonical(t, `{"data":null}`, true))
	require.Equal(t, `{"data":{"k":"cGxhbnRlZA=="}}`, canonical(t, `{"data":{"k":"cGxhbnRlZA=="}}`, false), "a ConfigMap's data is no secret")
}

func TestCanonicalRefuses(t *testing.T) {
	for in, want := range map[string]string{
		``:                                     "read object: it ends in the middle, after 0 bytes",
		`[]`:                                   `read object: at byte 0: want an object, found '['`,
		`{`:                                    "read object: it ends in the middle, after 1 bytes",
		`{"a":"`:                               "read object: it ends in the middle, after 6 bytes",
		`{"a":"\`:                              "read object: it ends in the middle, after 7 bytes",
		`{"a":"\ud83d`:                         "read object: it ends in the middle, after 12 bytes",
		`{"a":1`:                               "read object: it ends in the middle, after 6 bytes",
		`{"a":tr`:                              "read object: it ends in the middle, after 7 bytes",
		`{"metadata":{"managedFields":["`:      "read object: it ends in the middle, after 31 bytes",
		`{} {}`:                                "read object: 2 bytes follow it",
		`{"a":1,"b":2,"a":1}`:                  `read object: at byte 19: member "a" is there twice`,
		`{"a":1,"\u0061":1}`:                   `read object: at byte 18: member "a" is there twice`,
		`{"a":truth}`:                          `read object: at byte 5: want true`,
		`{"a":01}`:                             `read object: at byte 5: number 01 is malformed`,
		`{"a":1.}`:                             `read object: at byte 5: number 1. is malformed`,
		`{"a":1e}`:                             `read object: at byte 5: number 1e is malformed`,
		`{"a":1e+-1}`:                          `read object: at byte 5: number 1e+-1 is malformed`,
		`{"a":1e++1}`:                          `read object: at byte 5: number 1e++1 is malformed`,
		`{"a":-}`:                              `read object: at byte 5: number - is malformed`,
		`{"a":1e99999999}`:                     `read object: at byte 5: number 1e99999999 is malformed`,
		`{"a":x}`:                              `read object: at byte 5: unexpected 'x'`,
		`{a:1}`:                                `read object: at byte 1: want a member's name, found 'a'`,
		`{"a" 1}`:                              `read object: at byte 5: want : after a member's name, found '1'`,
		`{"a":1 "b":2}`:                        `read object: at byte 7: want , or } in an object, found '"'`,
		`{"a":[1 2]}`:                          `read object: at byte 8: want , or ] in a list, found '2'`,
		`{"a":1,}`:                             `read object: at byte 7: want a member's name, found '}'`,
		`{"a":[1,]}`:                           `read object: at byte 8: unexpected ']'`,
		"{\"a\":\"\n\"}":                       `read object: at byte 6: control character 0xa in a string`,
		"{\"a\":\"\xff\"}":                     `read object: at byte 5: string is not UTF-8`,
		`{"a":"\x"}`:                           `read object: at byte 8: unknown escape \x in a string`,
		`{"a":"\u00g0"}`:                       `read object: at byte 8: escape \u00g0 is not hexadecimal`,
		`{"a":"\ud83d "}`:                      `read object: at byte 12: half of a surrogate pair in a string`,
		`{"metadata":{"name":7}}`:              `read object: at byte 21: metadata.name is no string`,
		`{"a":` + strings.Repeat("[", 1e5):     `read object: at byte 10004: nested deeper than 10000`,
		`{"a":` + strings.Repeat(`{"a":`, 1e5): `nested deeper than 10000`,
	} {
		_, err := Canonical([]byte(in), false, nil)
		require.ErrorContains(t, err, want, in)
	}
}

// mutation of an object that a census must tell from it, or must not.
type mutation struct {
	name   string
	change func(o map[string]any)
	equal  bool
}

const deployment = `{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"shop","uid":"1","resourceVersion":"5",
	"creationTimestamp":"2026-01-01T00:00:00Z","generation":3,"labels":{"a":"1","b":"2"},"annotations":{"note":"x"},"finalizers":["f/1","f/2"],
	"ownerReferences":[{"apiVersion":"v1","kind":"Shop","name":"s","uid":"9","controller":true}],"managedFields":[{"manager":"a"},{"manager":"b"}]},
	"spec":{"replicas":3,"ratio":0.5,"selector":{"matchLabels":{"app":"web"}},"template":{"spec":{"containers":[{"name":"c","image":"i:1"},{"name":"d","image":"i:2"}]}}},
	"status":{"readyReplicas":3,"conditions":[{"type":"Available","status":"True"}]}}`

func mutations() []mutation {
	meta := func(o map[string]any) map[string]any { return o["metadata"].(map[string]any) }
	spec := func(o map[string]any) map[string]any { return o["spec"].(map[string]any) }
	owner := func(o map[string]any) map[string]any { return meta(o)["ownerReferences"].([]any)[0].(map[string]any) }
	containers := func(o map[string]any) []any {
		return spec(o)["template"].(map[string]any)["spec"].(map[string]any)["containers"].([]any)
	}
	return []mutation{
		{"uid", func(o map[string]any) { meta(o)["uid"] = "2" }, false},
		{"owner's uid", func(o map[string]any) { owner(o)["uid"] = "8" }, false},
		{"owner dropped", func(o map[string]any) { delete(meta(o), "ownerReferences") }, false},
		{"owner no controller", func(o map[string]any) { owner(o)["controller"] = false }, false},
		{"finalizer dropped", func(o map[string]any) { meta(o)["finalizers"] = []any{"f/1"} }, false},
		{"finalizers swapped", func(o map[string]any) { slices.Reverse(meta(o)["finalizers"].([]any)) }, false},
		{"annotation", func(o map[string]any) { meta(o)["annotations"] = map[string]any{"note": "y"} }, false},
		{"label values swapped", func(o map[string]any) { meta(o)["labels"] = map[string]any{"a": "2", "b": "1"} }, false},
		{"creation", func(o map[string]any) { meta(o)["creationTimestamp"] = "2026-01-01T00:00:01Z" }, false},
		{"generation", func(o map[string]any) { meta(o)["generation"] = 4 }, false},
		{"deletion", func(o map[string]any) { meta(o)["deletionTimestamp"] = "2026-01-01T00:00:00Z" }, false},
		{"immutable selector", func(o map[string]any) {
			spec(o)["selector"] = map[string]any{"matchLabels": map[string]any{"app": "wep"}}
		}, false},
		{"number", func(o map[string]any) { spec(o)["replicas"] = 2 }, false},
		{"number as text", func(o map[string]any) { spec(o)["replicas"] = "3" }, false},
		{"null for absent", func(o map[string]any) { spec(o)["paused"] = nil }, false},
		{"containers swapped", func(o map[string]any) { slices.Reverse(containers(o)) }, false},
		{"images swapped", func(o map[string]any) {
			containers(o)[0].(map[string]any)["image"], containers(o)[1].(map[string]any)["image"] = "i:2", "i:1"
		}, false},
		{"status", func(o map[string]any) { o["status"].(map[string]any)["readyReplicas"] = 2 }, false},
		{"status dropped", func(o map[string]any) { delete(o, "status") }, false},
		{"managed fields reordered", func(o map[string]any) { slices.Reverse(meta(o)["managedFields"].([]any)) }, true},
		{"managed fields dropped", func(o map[string]any) { delete(meta(o), "managedFields") }, true},
		{"resourceVersion", func(o map[string]any) { meta(o)["resourceVersion"] = "6" }, true},
		{"apiVersion", func(o map[string]any) { o["apiVersion"] = "apps/v2" }, true},
		{"nothing", func(map[string]any) {}, true},
	}
}

// A census finds each of these mutations, and FieldChanges names it; what means the same stays equal.
func TestCanonicalTellsMutations(t *testing.T) {
	want := canonical(t, deployment, false)
	for _, m := range mutations() {
		t.Run(m.name, func(t *testing.T) {
			var o map[string]any
			require.NoError(t, json.Unmarshal([]byte(deployment), &o))
			m.change(o)
			mutated, err := json.Marshal(o)
			require.NoError(t, err)
			have := canonical(t, string(mutated), false)
			require.Equal(t, m.equal, have == want, have)
			require.Equal(t, m.equal, len(FieldChanges(json.RawMessage(want), json.RawMessage(have))) == 0)
		})
	}
}

func TestSecretMutations(t *testing.T) {
	const secret = `{"metadata":{"name":"s"},"data":{"a":"MQ==","b":"Mg=="}}`
	for name, mutated := range map[string]string{
		"key removed":    `{"metadata":{"name":"s"},"data":{"a":"MQ=="}}`,
		"values swapped": `{"metadata":{"name":"s"},"data":{"b":"MQ==","a":"Mg=="}}`,
		"one bit":        `{"metadata":{"name":"s"},"data":{"a":"MA==","b":"Mg=="}}`,
		"empty":          `{"metadata":{"name":"s"},"data":{"a":"","b":"Mg=="}}`,
	} {
		require.NotEqual(t, canonical(t, secret, true), canonical(t, mutated, true), name)
	}
}

// respell writes a value with its members in another order, other white space, escapes and number spellings.
func respell(b *bytes.Buffer, r *rand.Rand, value any) {
	space := func() { b.WriteString([]string{"", " ", "\n\t"}[r.IntN(3)]) }
	spell := func(s string) {
		b.WriteByte('"')
		for _, c := range s {
			if c < 0x10000 && (r.IntN(3) == 0 || c == '"' || c == '\\' || c < ' ') {
				fmt.Fprintf(b, `\u%04X`, c)
			} else {
				b.WriteRune(c)
			}
		}
		b.WriteByte('"')
	}
	space()
	switch v := value.(type) {
	case map[string]any:
		b.WriteByte('{')
		names := make([]string, 0, len(v))
		for name := range v {
			names = append(names, name)
		}
		slices.Sort(names)
		r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
		for i, name := range names {
			if i > 0 {
				b.WriteByte(',')
			}
			space()
			spell(name)
			space()
			b.WriteByte(':')
			respell(b, r, v[name])
		}
		b.WriteByte('}')
	case []any:
		b.WriteByte('[')
		for i, item := range v {
			if i > 0 {
				b.WriteByte(',')
			}
			respell(b, r, item)
		}
		b.WriteByte(']')
	case string:
		spell(v)
	case json.Number:
		b.WriteString(v.String())
		if r.IntN(2) == 0 && !strings.ContainsAny(v.String(), ".eE") {
			b.WriteString([]string{".0", "e0", ".000E+0", "0e-1"}[r.IntN(4-1)])
		}
	default:
		text, _ := json.Marshal(v)
		b.Write(text)
	}
	space()
}

// meaning of an object for comparison: numbers by value.
func meaning(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name := range v {
			v[name] = meaning(v[name])
		}
	case []any:
		for i := range v {
			v[i] = meaning(v[i])
		}
	case json.Number:
		number, ok := new(big.Rat).SetString(v.String())
		if !ok {
			return v
		}
		return "number " + number.String()
	}
	return value
}

func parse(b []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var o map[string]any
	err := d.Decode(&o)
	return o, err
}

// The canonical form means what the object means; it is its own canonical form; and neither order, white space, escapes nor
// the spelling of numbers change it. What it takes, encoding/json takes.
func FuzzCanonical(f *testing.F) {
	f.Add([]byte(deployment), uint64(1))
	f.Add([]byte(`{"a":[1e3,-0.10,"\u00e9\n",{"b":{},"a":[]}],"\u0000":null}`), uint64(2))
	f.Add([]byte(`{"metadata":{"managedFields":"x","annotations":{"a":"b"}},"data":{"k":7}}`), uint64(3))
	f.Fuzz(func(t *testing.T, in []byte, seed uint64) {
		_, _ = Canonical(in, true, testKey)
		form, err := Canonical(in, false, nil)
		if err != nil || bytes.Contains(in, []byte("managedFields")) || bytes.Contains(in, []byte("e9")) || bytes.Contains(in, []byte("E9")) {
			return
		}
		again, err := Canonical(form, false, nil)
		require.NoError(t, err)
		require.Equal(t, string(form), string(again))
		o, err := parse(in)
		require.NoError(t, err)
		var b bytes.Buffer
		respell(&b, rand.New(rand.NewPCG(seed, 0)), o)
		respelt, err := Canonical(b.Bytes(), false, nil)
		require.NoError(t, err, b.String())
		require.Equal(t, string(form), string(respelt), b.String())
		c, err := parse(form)
		require.NoError(t, err)
		delete(o, "apiVersion")
		delete(o, "kind")
		if metadata, ok := o["metadata"].(map[string]any); ok {
			delete(metadata, "resourceVersion")
		}
		if len(form) < 1<<12 && !bytes.ContainsAny(in, "eE") {
			require.Equal(t, meaning(o), meaning(c))
		}
		require.Empty(t, FieldChanges(form, respelt))
	})
}

func BenchmarkCanonical(b *testing.B) {
	c := canonicaliser{digests: newDigester(testKey)}
	in := []byte(deployment)
	b.SetBytes(int64(len(in)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.object(in, false); err != nil {
			b.Fatal(err)
		}
	}
}

func TestFieldChanges(t *testing.T) {
	for name, tc := range map[string]struct {
		before, after string
		want          []Change
	}{
		"scalars": {`{"a":1,"b":"x","c":true,"d":null}`, `{"a":2,"b":"x","c":false,"e":null}`,
			[]Change{{"/a", "1", "2", Changed}, {"/c", "true", "false", Changed}, {"/d", "null", "", Lost}, {"/e", "", "null", Extra}}},
		"pointer":  {`{"a/b~c":{"":1}}`, `{"a/b~c":{"":2}}`, []Change{{"/a~1b~0c/", "1", "2", Changed}}},
		"type":     {`{"a":{}}`, `{"a":[]}`, []Change{{"/a", "{}", "[]", Changed}}},
		"to map":   {`{"a":"{}"}`, `{"a":{}}`, []Change{{"/a", `"{}"`, "{}", Changed}}},
		"by index": {`{"l":[1,2,3]}`, `{"l":[1,4]}`, []Change{{"/l/1", "2", "4", Changed}, {"/l/2", "3", "", Lost}}},
		"by name": {`{"l":[{"name":"a","v":1},{"name":"b","v":2}]}`, `{"l":[{"name":"c"},{"name":"b","v":3}]}`,
			[]Change{{"/l/0", `{"name":"a","v":1}`, "", Lost}, {"/l/0", "", `{"name":"c"}`, Extra}, {"/l/1/v", "2", "3", Changed}}},
		"conditions reordered": {`{"l":[{"type":"A","s":1},{"type":"B","s":2}]}`, `{"l":[{"type":"B","s":2},{"type":"A","s":3}]}`,
			[]Change{{"/l", `["A","B"]`, `["B","A"]`, Changed}, {"/l/0/s", "1", "3", Changed}}},
		"ports":     {`{"l":[{"port":80,"p":1},{"port":443}]}`, `{"l":[{"port":443}]}`, []Change{{"/l/0", `{"p":1,"port":80}`, "", Lost}}},
		"ambiguous": {`{"l":[{"name":"a"},{"name":"a"}]}`, `{"l":[{"name":"a"}]}`, []Change{{"/l/1", `{"name":"a"}`, "", Lost}}},
		"long": {`{"a":"` + strings.Repeat("x", 300) + `y"}`, `{"a":"` + strings.Repeat("x", 300) + `z"}`, []Change{{"/a",
			`"` + strings.Repeat("x", 255) + `... (303 bytes, sha256 48ed7a7ec4fe9ee5be03a7dcb22ad8ab3ac4da54a8b9bfbbdf1f2ff1d4cbf7f7)`, "", Changed}}},
		"only before": {`{"a":1}`, ``, []Change{{"", `{"a":1}`, "", Lost}}},
		"only after":  {``, `{"a":1}`, []Change{{"", "", `{"a":1}`, Extra}}},
		"no JSON":     {`{"a":1}`, `{"a"`, []Change{{"", `{"a":1}`, `{"a"`, Changed}}},
		"equal":       {deployment, deployment, nil},
	} {
		t.Run(name, func(t *testing.T) {
			have := FieldChanges(json.RawMessage(tc.before), json.RawMessage(tc.after))
			if name == "long" {
				require.Len(t, have, 1)
				require.NotEqual(t, have[0].Before, have[0].After)
				require.Regexp(t, `^"x{255}\.\.\. \(303 bytes, sha256 [0-9a-f]{64}\)$`, have[0].Before)
				return
			}
			require.Equal(t, tc.want, []Change(have))
		})
	}
}
