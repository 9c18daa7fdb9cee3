package census

import (
	"bytes"
	"encoding/json"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"
)

// protobufPrefix begins an object that the API server stored as protobuf.
var protobufPrefix = []byte("k8s\x00")

// sameObject tells whether two values that differ as bytes are the same object in two encodings: JSON (from kube-apiserver
// --storage-media-type, or written by another tool) and protobuf. Two of the same encoding are not the same, and neither
// are values that cannot be decoded without loss, or that are encrypted.
func sameObject(before *store, b storedKey, after *store, a storedKey) (bool, error) {
	if b.encrypted || a.encrypted {
		return false, nil
	}
	values := [2][]byte{}
	for i, side := range []struct {
		store *store
		key   storedKey
	}{{before, b}, {after, a}} {
		var err error
		if values[i], err = side.store.value(side.key); err != nil {
			return false, err
		}
	}
	if bytes.HasPrefix(values[0], protobufPrefix) == bytes.HasPrefix(values[1], protobufPrefix) {
		return false, nil
	}
	var forms [2][]byte
	for i, value := range values {
		var ok bool
		if forms[i], ok = storedForm(value); !ok {
			return false, nil
		}
	}
	return bytes.Equal(forms[0], forms[1]), nil
}

var codecs = serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict)

// storedForm decodes a stored value into one spelling of all that it says, its version included. It is not ok when the value
// says anything that would be lost.
func storedForm(value []byte) (form []byte, ok bool) {
	object, kind, err := codecs.UniversalDeserializer().Decode(value, nil, nil)
	if err != nil {
		return nil, false
	}
	if bytes.HasPrefix(value, protobufPrefix) {
		// A field that this program's version of the API does not know vanishes in decoding, without a word.
		info, _ := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), runtime.ContentTypeProtobuf)
		again, err := runtime.Encode(codecs.EncoderForVersion(info.Serializer, kind.GroupVersion()), object)
		if err != nil || !bytes.Equal(again, value) {
			return nil, false
		}
	}
	object.GetObjectKind().SetGroupVersionKind(*kind)
	form, err = json.Marshal(object)
	return form, err == nil
}
