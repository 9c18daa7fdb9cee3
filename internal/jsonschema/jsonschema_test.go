package jsonschema

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const source = `package jsonschema

// A Garden has beds.
type garden struct {
	// Name over
	// two lines.
	Name string
	Beds []bed // as dug
	Main *bed
}

type (
	// A bed holds plants.
	bed struct{ Plants int }
)
`

type color int

type garden struct {
	Name   string            `json:"name"`
	Beds   []bed             `json:"beds"`
	Main   *bed              `json:"main,omitempty"`
	Color  color             `json:"color"`
	Since  time.Time         `json:"since"`
	Labels map[string]string `json:"labels,omitempty"`
	Secret string            `json:"-"`
	Any    any               `json:"any,omitzero"`
}

type bed struct {
	Plants int      `json:"plants"`
	Acid   *float64 `json:"acid,omitempty"`
}

func TestDocument(t *testing.T) {
	g, err := New([]byte(source))
	require.NoError(t, err)
	g.Define(reflect.TypeFor[color](), &Schema{Type: "string", Enum: []string{"red", "green"}})
	s, err := g.Document("https://example.test/garden", "garden", reflect.TypeFor[garden]())
	require.NoError(t, err)
	s.Definitions.Get("garden").Properties.Get("name").Pattern = "^[a-z]+$"
	b, err := s.Bytes()
	require.NoError(t, err)
	require.Equal(t, `{
  "$schema": "http://json-schema.org/draft-07/schema#",
  "$id": "https://example.test/garden",
  "title": "garden",
  "description": "A Garden has beds.",
  "allOf": [
    {
      "$ref": "#/definitions/garden"
    }
  ],
  "definitions": {
    "garden": {
      "description": "A Garden has beds.",
      "type": "object",
      "properties": {
        "name": {
          "description": "Name over two lines.",
          "type": "string",
          "pattern": "^[a-z]+$"
        },
        "beds": {
          "description": "as dug",
          "type": "array",
          "items": {
            "$ref": "#/definitions/bed"
          }
        },
        "main": {
          "$ref": "#/definitions/bed"
        },
        "color": {
          "type": "string",
          "enum": [
            "red",
            "green"
          ]
        },
        "since": {
          "type": "string",
          "format": "date-time"
        },
        "labels": {
          "type": "object",
          "additionalProperties": {
            "type": "string"
          }
        },
        "any": {}
      },
      "required": [
        "name",
        "beds",
        "color",
        "since"
      ],
      "additionalProperties": false
    },
    "bed": {
      "description": "A bed holds plants.",
      "type": "object",
      "properties": {
        "plants": {
          "type": "integer"
        },
        "acid": {
          "type": "number"
        }
      },
      "required": [
        "plants"
      ],
      "additionalProperties": false
    }
  }
}
`, string(b))
	require.True(t, json.Valid(b))
}

func TestTrouble(t *testing.T) {
	_, err := New([]byte("no go at all"))
	require.ErrorContains(t, err, "parse source for its doc comments")

	g, err := New()
	require.NoError(t, err)
	_, err = g.Type(reflect.TypeFor[int]())
	require.EqualError(t, err, "describe int: not a named struct type")

	type odd struct {
		Field map[int]string
	}
	_, err = g.Type(reflect.TypeFor[odd]())
	require.EqualError(t, err, "describe jsonschema.odd.Field: a map with keys of type int")

	type silent struct {
		Field chan int
	}
	_, err = g.Type(reflect.TypeFor[silent]())
	require.EqualError(t, err, "describe jsonschema.silent.Field: a field of type chan int")

	_, err = g.Type(reflect.TypeFor[garden]())
	require.NoError(t, err)
	{
		type garden struct{ Other string }
		_, err = g.Type(reflect.TypeFor[garden]())
		require.EqualError(t, err, "describe jsonschema.garden and jsonschema.garden: two types of one document have the same name")
	}
}

func TestEmbeddedStruct(t *testing.T) {
	type whole struct {
		bed
		Fence bool `json:"fence,omitempty"`
	}
	g, err := New([]byte("package jsonschema\n\ntype bed struct {\n\t// Plants in it.\n\tPlants int\n}\n"))
	require.NoError(t, err)
	s, err := g.Type(reflect.TypeFor[whole]())
	require.NoError(t, err)
	require.Equal(t, []string{"plants"}, s.Required)
	require.Equal(t, "Plants in it.", s.Properties.Get("plants").Description)
	require.Len(t, s.Properties, 3)
}
