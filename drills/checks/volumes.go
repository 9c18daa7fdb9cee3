package checks

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

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
	if len(before.Claims) == 0 {
		unknown(c, "no volume was read before the failure, so nothing can be compared")
		return
	}
	now := map[string]evidence.VolumeClaim{}
	for _, claim := range after.Claims {
		now[claim.ID()] = claim
	}
	v := &reports.Volumes{Files: &reports.VolumeFiles{}}
	var parts []reports.Check
	for _, was := range before.Claims {
		part, claim := reports.Check{}, reports.VolumeClaim{Namespace: was.Namespace, Name: was.Name}
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
		}
		there := part.Reason == ""
		// What was in a volume that is certainly not there is lost.
		if there || part.Verdict == reports.Failed {
			content, empty := reports.Check{}, false
			if was.Writer != "" {
				v.Records, empty = run.judgeRecords(&content, records, is)
			} else {
				claim.Files, empty = judgeFiles(&content, was, is)
			}
			if there {
				part, claim.Empty = content, empty
			}
		}
		if is.Files != nil && is.ReclaimPolicy != was.ReclaimPolicy && part.Verdict == reports.Passed {
			failed(&part, "without its claim its volume is now told to %s, and was told to %s", is.ReclaimPolicy, was.ReclaimPolicy)
		}
		if part.Verdict != reports.Passed {
			next := ""
			if is.Phase != "" && is.Phase != "Bound" {
				next = "describe the claim: its events say why it has no volume"
			}
			find(c, reports.Finding{Verdict: part.Verdict, Subject: was.ID(), Message: part.Reason, Next: next})
		}
		claim.Verdict, claim.Reason = part.Verdict, part.Reason
		addClaim(v, claim, was.Writer != "")
		part.Reason = was.ID() + ": " + part.Reason
		parts = append(parts, part)
	}
	r.Volumes = v
	switch all := v.Restored == len(parts); {
	case all && v.Records == nil:
		unknown(c, "no volume held the volume ledger")
	case all:
		passed(c, "%s with %s as they were; %s", counted(len(parts)-1, "volume"), counted(v.Files.Before, "file"), parts[len(parts)-1].Reason)
	default:
		merge(c, slices.DeleteFunc(parts, func(p reports.Check) bool { return p.Verdict == reports.Passed }))
	}
	if c.Verdict == reports.Failed {
		if claim, ok := run.claim("restore"); ok && claim.Detail == evidence.Completed {
			c.Reason += "; the tool says of the restore: completed"
		}
	}
}

// addClaim to the account. Without the files of one volume there is no sum of them.
func addClaim(v *reports.Volumes, claim reports.VolumeClaim, ledger bool) {
	v.Claims = append(v.Claims, claim)
	if claim.Verdict == reports.Passed {
		v.Restored++
	}
	if claim.Empty {
		v.Empty++
	}
	switch f, sum := claim.Files, v.Files; {
	case ledger || sum == nil:
	case f == nil:
		v.Files = nil
	default:
		*sum = reports.VolumeFiles{Before: sum.Before + f.Before, After: sum.After + f.After, Lost: sum.Lost + f.Lost, Changed: sum.Changed + f.Changed, Extra: sum.Extra + f.Extra}
	}
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

// judgeFiles compares what was written into a volume with what is in it.
func judgeFiles(c *reports.Check, was, is evidence.VolumeClaim) (files *reports.VolumeFiles, empty bool) {
	before, after := written(was), written(is)
	var lost, changed []string
	for _, path := range slices.Sorted(maps.Keys(before)) {
		switch sum, there := after[path]; {
		case !there:
			lost = append(lost, path)
		case sum != before[path]:
			changed = append(changed, path)
		}
	}
	files = &reports.VolumeFiles{Before: len(before), After: len(after), Lost: len(lost), Changed: len(changed), Extra: len(after) - len(before) + len(lost)}
	var wrong []string
	if len(lost) > 0 {
		wrong = append(wrong, fmt.Sprintf("%s of %d missing, first %s", counted(len(lost), "file"), len(before), lost[0]))
	}
	if len(changed) > 0 {
		wrong = append(wrong, fmt.Sprintf("%s of %d with other bytes, first %s", counted(len(changed), "file"), len(before), changed[0]))
	}
	if files.Extra > 0 {
		wrong = append(wrong, counted(files.Extra, "file")+" that nobody wrote")
	}
	switch empty = len(after) == 0 && len(before) > 0; {
	case empty:
		failed(c, "the volume is empty, and held %s", counted(len(before), "file"))
	case len(wrong) > 0:
		failed(c, "%s", strings.Join(wrong, "; "))
	default:
		passed(c, "%s as they were", counted(len(before), "file"))
	}
	return files, empty
}

// written are the digests of a volume's files, by path.
func written(claim evidence.VolumeClaim) map[string]string {
	all := map[string]string{}
	for _, f := range claim.Files {
		// Velero marks each volume that it has restored with an empty file, for which the pod waits.
		// Source: pkg/podvolume/restore_micro_service.go of github.com/vmware-tanzu/velero@v1.18.3.
		if !strings.HasPrefix(f.Path, ".velero/") || f.Bytes > 0 {
			all[f.Path] = f.SHA256
		}
	}
	return all
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

// judgeRecords compares the records that were acknowledged before the failure with those in the restored volume. Without such there is no account.
func (run *Run) judgeRecords(c *reports.Check, records []evidence.VolumeRecord, is evidence.VolumeClaim) (account *reports.VolumeRecords, empty bool) {
	struck, ok := run.mark(evidence.MarkStruck, 0)
	if !ok {
		unknown(c, "the failure was never seen: without the mark struck no record is before or after it")
		return nil, false
	}
	there := map[int]bool{}
	for _, n := range is.Records {
		there[n] = true
	}
	var (
		holes int
		rpo   *time.Duration
		least time.Duration
	)
	account = &reports.VolumeRecords{}
	for _, r := range records {
		if r.At > struck.At {
			break
		}
		account.Acknowledged++
		age := struck.At - r.At
		switch {
		case there[r.Number] && account.Lost > 0:
			holes++
		case there[r.Number]:
			rpo = &age
		default:
			if account.Lost++; account.Lost == 1 {
				// The failure may have been there before it was seen.
				least = max(0, age-struck.Resolution)
			}
		}
	}
	if account.Acknowledged == 0 {
		unknown(c, "no record was acknowledged before the failure")
		return nil, false
	}
	age := reports.Objective{Method: "struck - the acknowledgement of the newest record of the volume ledger up to which nothing is missing; " +
		"bounded from below by the age of the oldest record that is missing"}
	if rpo != nil {
		account.RPO = seconds(*rpo)
		age.Measured, age.Resolution = account.RPO, seconds(*rpo-least)
	}
	target := run.Scenario.Spec.Objectives.RPO
	lost := fmt.Sprintf("%s of %d missing", counted(account.Lost, "acknowledged record"), account.Acknowledged)
	switch empty = len(is.Records) == 0; {
	case empty:
		failed(c, "the volume is empty: all %s acknowledged before the failure are missing", counted(account.Acknowledged, "record"))
	case rpo == nil || holes > 0:
		failed(c, "%s, while %s written later are there", lost, counted(cmp.Or(holes, len(is.Records)), "record"))
	default:
		lost += fmt.Sprintf(", the newest up to which nothing is missing was written %s before the failure", rounded(*rpo))
		if target != nil && *rpo > target.Duration {
			failed(c, "%s, over the objective of %s", lost, target)
		} else {
			passed(c, "%s", lost)
		}
	}
	age.Verdict = c.Verdict
	run.objectives["volume rpo"] = age
	run.objectives["lost records"] = reports.Objective{Method: "acknowledged records of the volume ledger that are not in its volume", Measured: number(account.Lost), Resolution: number(0)}
	return account, empty
}
