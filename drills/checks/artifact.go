package checks

import (
	"strings"

	"github.com/restore-drill/restore-drill/internal/evidence"
	"github.com/restore-drill/restore-drill/reports"
)

// artifactCheck looks at what the drill found when it compared the backup with the digests recorded when it was taken, whatever the tool then made
// of it.
var artifactCheck = Check{
	Name:      "artifact",
	Title:     "Was the backup, when it was needed, as it had been taken?",
	IfFailed:  "do not restore it: fall back to the backup before it, and find out what changed its bytes",
	IfUnknown: "have the digests recorded when a backup is taken compared before each restore",
	Needs:     []string{evidence.TimelineFile},
	Applies: func(run *Run) string {
		if _, begun := run.mark(evidence.MarkRestoreStarted, 0); !begun && run.interrupted() == "" {
			return "no restore began"
		}
		return ""
	},
	Judge: func(run *Run, r *reports.Report, c *reports.Check) {
		verified, wanted, damaged, other := 0, 0, "", ""
		for _, e := range run.Events {
			switch {
			case e.Kind == evidence.MarkReached && e.Name == evidence.MarkArtifactOK:
				verified++
			case e.Kind == evidence.ArtifactChosen:
				wanted++
			case e.Kind != evidence.StepEnded || e.Name != evidence.StepVerify || e.Error == "" || e.Phase != evidence.PhaseRestore:
			case strings.Contains(e.Error, evidence.Damaged):
				damaged = run.local(e.Error)
				for line := range strings.Lines(damaged) {
					find(c, reports.Finding{Verdict: reports.Failed, Message: strings.TrimSpace(line), Next: "see who can write to where backups are kept"})
				}
			default:
				other = run.local(firstLine(e.Error))
			}
		}
		switch {
		case damaged != "":
			failed(c, "%s", firstLine(damaged))
		case other != "":
			unknown(c, "it could not be verified: %s", other)
		case verified < max(1, wanted) && run.stopped() != nil:
			skipped(c, "the restore ended before it was verified")
		case verified == 0:
			unknown(c, "nobody verified it")
		case verified < wanted:
			unknown(c, "%d of %s were verified", verified, counted(wanted, "artifact"))
		default:
			passed(c, "every digest is the one recorded when it was taken")
		}
	},
}
