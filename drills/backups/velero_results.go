package backups

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	velerov1 "github.com/vmware-tanzu/velero/pkg/apis/velero/v1"
	"github.com/vmware-tanzu/velero/pkg/util/results"

	"github.com/restore-drill/restore-drill/internal/evidence"
)

// veleroClaims of the phases in which a Backup or a Restore stays.
var veleroClaims = map[string]string{
	string(velerov1.BackupPhaseCompleted):        evidence.Completed,
	string(velerov1.BackupPhasePartiallyFailed):  evidence.PartiallyFailed,
	string(velerov1.BackupPhaseFailed):           evidence.Failed,
	string(velerov1.BackupPhaseFailedValidation): evidence.FailedValidation,
}

// An operation is a Backup or a Restore that Velero carries out.
type operation struct {
	kind, name string
	// n counts the operations of the kind.
	n      int
	during func(ctx context.Context, operation string) error
	struck bool

	last               sight
	started, completed time.Time
}

// A sight is what its object says of it.
type sight struct {
	phase          string
	items, handled int
	gone           bool
	// reasons that it gives, some of them empty.
	reasons []string
}

// see takes the next sight, and tells whether it was the last.
func (o *operation) see(ctx context.Context, s sight) (bool, error) {
	o.last = s
	if s.gone {
		return true, nil
	}
	if s.phase == string(velerov1.BackupPhaseInProgress) {
		if o.started.IsZero() {
			o.started = time.Now()
		}
		// Velero counts what a backup is to hold before it begins with the first; of a restore it tells once a second, and at the end.
		if s.items > 0 && !o.struck {
			o.struck = true
			if err := o.during(ctx, o.kind); err != nil {
				return false, err
			}
		}
	}
	if veleroClaims[s.phase] == "" {
		return false, nil
	}
	o.completed = time.Now()
	return true, nil
}

// conclude keeps what Velero says of an operation, whether it came to its end or not, and tells when that is not what was asked for.
// Watched is the error of the watch.
func (m *Velero) conclude(o *operation, watched error) error {
	r := evidence.ToolResult{
		Tool: m.Name(), Operation: o.kind, Name: o.name, Claim: veleroClaims[o.last.phase], Phase: o.last.phase,
		Started: o.started.UTC(), Completed: o.completed.UTC(), Items: o.last.items, Handled: o.last.handled,
		Warnings: []evidence.ToolMessage{}, Errors: []evidence.ToolMessage{},
	}
	reason := strings.Join(slices.DeleteFunc(slices.Clone(o.last.reasons), func(s string) bool { return s == "" }), "; ")
	var err error
	switch {
	case watched != nil:
		phase := o.last.phase
		if phase == "" {
			phase = string(velerov1.BackupPhaseNew)
		}
		err = fmt.Errorf("velero's %s %s is %s, with %d of %d items: %w", o.kind, o.name, phase, o.last.handled, o.last.items, watched)
	case o.last.gone:
		r.Claim = evidence.Missing
		err = &ClaimError{r.Claim, fmt.Errorf("velero's %s %s vanished while it was %s", o.kind, o.name, o.last.phase)}
	case r.Claim == evidence.Failed || r.Claim == evidence.FailedValidation:
		err = &ClaimError{r.Claim, fmt.Errorf("velero's %s %s is %s: %s", o.kind, o.name, o.last.phase, reason)}
	}
	if reason != "" {
		r.Errors = append(r.Errors, evidence.ToolMessage{Scope: m.Name(), Message: reason})
	}
	return errors.Join(err, m.keep(&r))
}

// keep the result and the log of an operation in the run directory. What is not in the bucket, Velero did not get round to.
func (m *Velero) keep(r *evidence.ToolResult) error {
	prefix, n := backupPrefix(r.Name)+r.Name, m.taken-1
	if r.Operation == "restore" {
		prefix, n = "restores/"+r.Name+"/restore-"+r.Name, m.restored-1
	}
	var errs []error
	var said map[string]results.Result
	errs = append(errs, m.unpack(prefix+"-results.gz", func(in io.Reader) error { return json.NewDecoder(in).Decode(&said) }))
	r.Warnings = append(r.Warnings, messages(said["warnings"])...)
	r.Errors = append(r.Errors, messages(said["errors"])...)
	var listed map[string][]string
	errs = append(errs, m.unpack(prefix+"-resource-list.json.gz", func(in io.Reader) error { return json.NewDecoder(in).Decode(&listed) }))
	r.Objects = toolObjects(listed)
	errs = append(errs, m.unpack(prefix+"-logs.gz", func(in io.Reader) error {
		return create(filepath.Join(m.logDir(), r.Operation+"-"+r.Name+".log"), func(out io.Writer) error {
			_, err := io.Copy(out, in)
			return err
		})
	}))
	errs = append(errs, create(filepath.Join(m.env.RunDir, evidence.ToolFile(r.Tool, r.Operation, n)), func(out io.Writer) error {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("keep what velero says of %s %s: %w", r.Operation, r.Name, err)
	}
	return nil
}

func backupPrefix(backup string) string { return "backups/" + backup + "/" }

// unpack reads a compressed object off the store's disk, if it is there. One that cannot be read is left to the digests to tell of.
func (m *Velero) unpack(key string, read func(io.Reader) error) error {
	f, err := os.Open(m.store.Path(key))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	in, err := gzip.NewReader(f)
	if err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	if err := read(in); err != nil {
		return fmt.Errorf("read %s: %w", key, err)
	}
	return nil
}

func create(file string, write func(io.Writer) error) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

func messages(r results.Result) (all []evidence.ToolMessage) {
	scopes := maps.Clone(r.Namespaces)
	if scopes == nil {
		scopes = map[string][]string{}
	}
	scopes["cluster"] = append(scopes["cluster"], r.Cluster...)
	scopes["velero"] = append(scopes["velero"], r.Velero...)
	for _, scope := range slices.Sorted(maps.Keys(scopes)) {
		for _, text := range scopes[scope] {
			all = append(all, evidence.ToolMessage{Scope: scope, Message: text})
		}
	}
	return all
}

// toolObjects are listed as namespace/name by group/version/kind; in a restore with what was done to each in parentheses.
func toolObjects(listed map[string][]string) (all []evidence.ToolObject) {
	for _, resource := range slices.Sorted(maps.Keys(listed)) {
		for _, entry := range listed[resource] {
			o := evidence.ToolObject{Resource: resource, Name: entry, Action: "backed up"}
			if i := strings.LastIndex(entry, "("); i >= 0 && strings.HasSuffix(entry, ")") {
				o.Name, o.Action = entry[:i], entry[i+1:len(entry)-1]
			}
			if namespace, name, ok := strings.Cut(o.Name, "/"); ok {
				o.Namespace, o.Name = namespace, name
			}
			all = append(all, o)
		}
	}
	return all
}
