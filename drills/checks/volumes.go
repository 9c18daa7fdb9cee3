package checks

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/reports"
)

// volumesCheck looks at the bytes: a tool says that it is done whether or not it wrote them.
var volumesCheck = Check{
	Name:       "volumes",
	Title:      "Did every volume come back with the bytes that were in it?",
	Needs:      []string{evidence.TimelineFile, evidence.VolumesBeforeFile, evidence.VolumesAfterFile, evidence.VolumeLedgerFile},
	OfRestored: true,
	IfFailed:   "see in the backup tool's logs which volumes it backed up and restored: it passes over those that it was not told of, or whose pods opt out",
	IfUnknown:  "see in the timeline why the volumes could not be read, and run the drill again",
	Applies: func(run *Run) string {
		if run.Scenario.Spec.Seed.Volumes == nil {
			return "the drill seeded no volumes"
		}
		return ""
	},
	Judge: judgeVolumes,
}

func judgeVolumes(run *Run, r *reports.Report, c *reports.Check) {
	before, err := evidence.ReadJSON[evidence.Volumes](run.Dir, evidence.VolumesBeforeFile)
	if err != nil {
		unknown(c, "%s", run.local(err.Error()))
		return
	}
	after, err := evidence.ReadJSON[evidence.Volumes](run.Dir, evidence.VolumesAfterFile)
	if err != nil {
		unknown(c, "%s", run.local(err.Error()))
		return
	}
	records, err := run.volumeLedger()
	if err != nil {
		unknown(c, "%s", run.local(err.Error()))
		return
	}
	now := map[string]evidence.VolumeClaim{}
	for _, claim := range after.Claims {
		now[claim.ID()] = claim
	}
	var (
		parts   []reports.Check
		files   int
		ledgers int
	)
	for _, was := range before.Claims {
		part := reports.Check{}
		is, read := now[was.ID()]
		switch {
		case was.Files == nil:
			unknown(&part, "what was in it before the failure was not read: %s", was.Error)
		case !read:
			unknown(&part, "it was not looked at after the restore")
		case is.Phase == "":
			judgeNoClaim(&part, is)
		case is.Phase != "Bound":
			failed(&part, "the claim is %s, and has no volume%s", is.Phase, said(is.Trouble))
		case is.Files == nil:
			unknown(&part, "its volume could not be read: %s", firstLine(is.Error))
		case was.Writer != "":
			ledgers++
			run.judgeRecords(&part, records, is)
		default:
			files += len(was.Files)
			judgeFiles(&part, was, is)
		}
		if is.Files != nil && is.ReclaimPolicy != was.ReclaimPolicy && part.Verdict == reports.Passed {
			failed(&part, "without its claim its volume is now told to %s, and was told to %s", is.ReclaimPolicy, was.ReclaimPolicy)
		}
		if part.Verdict != reports.Passed {
			find(c, reports.Finding{Verdict: part.Verdict, Subject: was.ID(), Message: part.Reason})
		}
		part.Reason = was.ID() + ": " + part.Reason
		parts = append(parts, part)
	}
	switch {
	case len(before.Claims) == 0:
		unknown(c, "no volume was read before the failure, so nothing can be compared")
	case reports.Worst(verdicts(parts)...) == reports.Passed && ledgers == 0:
		unknown(c, "no volume held the volume ledger")
	case reports.Worst(verdicts(parts)...) == reports.Passed:
		passed(c, "%s with %s as they were; %s", counted(len(parts)-ledgers, "volume"), counted(files, "file"), parts[len(parts)-1].Reason)
	default:
		merge(c, slices.DeleteFunc(parts, func(p reports.Check) bool { return p.Verdict == reports.Passed }))
	}
	if c.Verdict == reports.Failed {
		if claim, ok := run.claim("restore"); ok && claim.Detail == evidence.Completed {
			c.Reason += "; the tool says of the restore: completed"
		}
	}
}

func verdicts(parts []reports.Check) (all []reports.Verdict) {
	for _, p := range parts {
		all = append(all, p.Verdict)
	}
	return all
}

func said(what string) string {
	if what == "" {
		return ""
	}
	return " (" + firstLine(what) + ")"
}

// judgeNoClaim: a claim that is not there is lost, and one that could not be asked for is not known.
func judgeNoClaim(c *reports.Check, is evidence.VolumeClaim) {
	if is.Error == evidence.NoSuchClaim {
		failed(c, "the claim is gone")
		return
	}
	unknown(c, "the claim could not be read: %s", firstLine(is.Error))
}

func judgeFiles(c *reports.Check, was, is evidence.VolumeClaim) {
	there := map[string]evidence.VolumeFile{}
	for _, f := range is.Files {
		there[f.Path] = f
	}
	var lost, changed []string
	for _, f := range was.Files {
		got, ok := there[f.Path]
		switch {
		case !ok:
			lost = append(lost, f.Path)
		case got.SHA256 != f.SHA256:
			changed = append(changed, f.Path)
		}
		delete(there, f.Path)
	}
	// Velero marks each volume that it has restored with an empty file, for which the pod waits.
	// Source: pkg/podvolume/restore_micro_service.go of github.com/vmware-tanzu/velero@v1.18.3.
	for path, f := range there {
		if strings.HasPrefix(path, ".velero/") && f.Bytes == 0 {
			delete(there, path)
		}
	}
	var wrong []string
	if len(lost) > 0 {
		wrong = append(wrong, fmt.Sprintf("%s of %d missing, first %s", counted(len(lost), "file"), len(was.Files), lost[0]))
	}
	if len(changed) > 0 {
		wrong = append(wrong, fmt.Sprintf("%s of %d with other bytes, first %s", counted(len(changed), "file"), len(was.Files), changed[0]))
	}
	if len(there) > 0 {
		wrong = append(wrong, counted(len(there), "file")+" that nobody wrote")
	}
	switch {
	case len(is.Files) == 0 && len(was.Files) > 0:
		failed(c, "the volume is empty, and held %s", counted(len(was.Files), "file"))
	case len(wrong) > 0:
		failed(c, "%s", strings.Join(wrong, "; "))
	default:
		passed(c, "%s as they were", counted(len(was.Files), "file"))
	}
}

// volumeLedger is the account of the records, closed.
func (run *Run) volumeLedger() ([]evidence.VolumeRecord, error) {
	records, err := evidence.ReadLines[evidence.VolumeRecord](run.Dir, evidence.VolumeLedgerFile)
	if err != nil {
		return nil, err
	}
	n := len(records) - 1
	if !records[n].End {
		return nil, fmt.Errorf("%s has no end: the account of the records is not whole", evidence.VolumeLedgerFile)
	}
	records = records[:n]
	for i, r := range records {
		if r.End || r.Number != i+1 {
			return nil, fmt.Errorf("%s: record %d stands in place %d: the account of the records is not whole", evidence.VolumeLedgerFile, r.Number, i+1)
		}
	}
	return records, nil
}

// judgeRecords compares the records that were acknowledged before the failure with those in the restored volume.
func (run *Run) judgeRecords(c *reports.Check, records []evidence.VolumeRecord, is evidence.VolumeClaim) {
	struck, ok := run.mark(evidence.MarkStruck, 0)
	if !ok {
		unknown(c, "the failure was never seen: without the mark struck no record is before or after it")
		return
	}
	there := map[int]bool{}
	for _, n := range is.Records {
		there[n] = true
	}
	var (
		acknowledged, lost, holes int
		whole                     *evidence.VolumeRecord
	)
	for i, r := range records {
		if r.At > struck.At {
			break
		}
		acknowledged++
		switch {
		case !there[r.Number]:
			lost++
		case lost > 0:
			holes++
		default:
			whole = &records[i]
		}
	}
	switch {
	case acknowledged == 0:
		unknown(c, "no record was acknowledged before the failure")
		return
	case whole == nil && len(is.Records) == 0:
		failed(c, "the volume is empty: all %s acknowledged before the failure are missing", counted(acknowledged, "record"))
		return
	case whole == nil || holes > 0:
		failed(c, "%s of %d missing, while %s written later are there", counted(lost, "acknowledged record"), acknowledged, counted(cmp.Or(holes, len(is.Records)), "record"))
		return
	}
	rpo := struck.At - whole.At
	text := fmt.Sprintf("%s of %d missing, the newest up to which nothing is missing was written %s before the failure", counted(lost, "acknowledged record"), acknowledged, rounded(rpo))
	if target := run.Scenario.Spec.Objectives.RPO; target != nil && rpo > target.Duration {
		failed(c, "%s, over the objective of %s", text, target)
		return
	}
	passed(c, "%s", text)
}
