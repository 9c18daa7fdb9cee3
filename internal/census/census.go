// Package census reads the whole state of a cluster into a sorted file of digests, and compares two such files. Memory is
// bounded: nothing here holds all objects at once.
//
// A census file is zstd-compressed JSON lines: one Head, Entries sorted by Key, one Tail. A file without its Tail is
// torn, and reading it gives an error, never a shorter census.
//
// There are two ways to take one. Live asks an API server for every resource that can be listed. Snapshot reads an etcd
// snapshot, or any bbolt file of etcd, without a cluster; CompareSnapshots compares two of them and decodes only what
// differs.
//
// To add a way, write one file with one function that gives its entries to a Writer in the order of their keys.
package census

import "encoding/json"

// Schema of census files. A reader refuses another.
const Schema = "restoredrill.io/census/v1alpha1"

// Head of a census file.
type Head struct {
	Schema string `json:"schema"`
	// How it was read, in words for the report.
	How string `json:"how"`
	// Revision of the store at which it was read; empty where every resource has its own.
	Revision string `json:"revision,omitempty"`
}

// An Entry is one object.
type Entry struct {
	// Key sorts the file: group/resource/namespace/name, which tells objects apart whatever version they were read in.
	// In a census of a snapshot it is the key in etcd, and there is no version, kind, name and object beside it.
	Key       string `json:"key"`
	Version   string `json:"version"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
	// Digest of the canonical form: HMAC-SHA-256 under the run's key, 16 bytes hex. In a census of a snapshot it is that of
	// the stored bytes.
	Digest string `json:"digest"`
	// Object is the canonical form: managedFields dropped, apiVersion, kind and resourceVersion kept apart, keys sorted, Secret
	// values replaced by keyed digests (also where an annotation repeats them).
	Object json.RawMessage `json:"object,omitempty"`
	// ResourceVersion of the object.
	ResourceVersion string `json:"resourceVersion,omitempty"`
}

// Tail of a census file.
type Tail struct {
	End     bool `json:"end"`
	Entries int  `json:"entries"`
	// Resources that were read, each as group/resource, also those without objects.
	Resources []string `json:"resources"`
	// Unreadable resources with the error: a census with any is incomplete.
	Unreadable map[string]string `json:"unreadable,omitempty"`
	// Skipped resources with the reason: they store no objects of their own, so that nothing is missing without them.
	Skipped map[string]string `json:"skipped,omitempty"`
}
