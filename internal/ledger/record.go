// Package ledger is the account of acknowledged writes: its file format, and the arithmetic of loss over it. The writer
// is in package fixtures.
package ledger

import "time"

// Namespace that holds the ledger's objects.
const Namespace = "restore-drill-ledger"

// Durability classes. Each has one writer: a strictly sequential chain.
const (
	ClassCore      = "core"      // create a ConfigMap
	ClassCustom    = "custom"    // create a custom resource
	ClassSecret    = "secret"    // create a Secret
	ClassUpdate    = "update"    // replace the value of one ConfigMap
	ClassDelete    = "delete"    // create an object, then delete it: both are writes of the chain
	ClassFinalizer = "finalizer" // create an object with a finalizer
)

// Classes in the order in which they are reported.
var Classes = []string{ClassCore, ClassCustom, ClassSecret, ClassUpdate, ClassDelete, ClassFinalizer}

// Kinds of Record.
const (
	Start   = "start"   // a writer begins: Rate is set
	Intent  = "intent"  // fsynced before the request is sent
	Outcome = "outcome" // fsynced when the answer is known
	Stop    = "stop"    // a writer ended as asked
)

// Verbs of a write.
const (
	Create = "create"
	Update = "update"
	Delete = "delete"
)

// Statuses of an Outcome.
const (
	Acknowledged = "acknowledged" // 2xx
	Refused      = "refused"      // a definite 4xx: it did not happen
	InDoubt      = "in-doubt"     // timeout, reset, 5xx, or 429 after sending: it may have happened
)

// A Record is one line of ledger.jsonl. An intent without outcome is in doubt.
type Record struct {
	Kind  string `json:"kind"`
	Class string `json:"class"`
	// Seq counts the writes of a class from 1.
	Seq  int    `json:"seq,omitempty"`
	Verb string `json:"verb,omitempty"`
	Name string `json:"name,omitempty"`
	// Digest of the value written: HMAC-SHA-256 under a key that only the run knows, hex, 16 bytes.
	Digest string `json:"digest,omitempty"`
	// At is nanoseconds since the drill began (the timeline's clock): of the call for an intent, of the answer for an outcome.
	At   time.Duration `json:"at"`
	Wall time.Time     `json:"wall"`
	// Status and Code (HTTP, 0 if none) of an outcome, with Error in words when it was not acknowledged.
	Status string `json:"status,omitempty"`
	Code   int    `json:"code,omitempty"`
	Error  string `json:"error,omitempty"`
	// Revision is the resourceVersion that the API server answered: the store's revision of this very write.
	Revision int64 `json:"revision,omitempty"`
	// Rate of a start record, in writes a second.
	Rate float64 `json:"rate,omitempty"`
}

// A Survivor is one of the ledger's objects as a consistent list found it after the restore.
type Survivor struct {
	Class string `json:"class"`
	Name  string `json:"name,omitempty"`
	// Seq and Digest as the object itself carries them; the digest is computed anew from its value.
	Seq      int    `json:"seq,omitempty"`
	Digest   string `json:"digest,omitempty"`
	Revision int64  `json:"revision,omitempty"`
	// End closes the list of a class, with the number of survivors before it. A class without one was not read.
	End   bool `json:"end,omitempty"`
	Count int  `json:"count,omitempty"`
}
