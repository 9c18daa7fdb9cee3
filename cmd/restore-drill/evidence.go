package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/restore-drill/restore-drill/drills"
	"github.com/restore-drill/restore-drill/internal/bundle"
)

func (a *app) evidenceCommand() *cobra.Command {
	return group("evidence", "Pack a drill's evidence into one file, sign it, and verify it", a.evidenceBuildCommand(), a.evidenceSignCommand(), a.evidenceVerifyCommand())
}

func (a *app) evidenceBuildCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "build DIR",
		Short: "Pack a run directory and its reports into a bundle",
		Long: `Pack the evidence of a run directory, and the reports that it gives, into one tar.gz. Of the backups it holds the digests alone: the backups themselves
hold secrets. The same run directory gives the same bytes. A README.md in the bundle says how to verify it without this tool.`,
		Example: "  restore-drill evidence build drills-of-today/etcd-data-lost\n  restore-drill evidence build drills-of-today/etcd-data-lost --out q4.tar.gz",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := filepath.Clean(args[0])
			report, err := drills.Judge(dir, version())
			if err != nil {
				return exitError{err, exitUsage}
			}
			if out == "" {
				name, err := bundle.Name(report)
				if err != nil {
					return exitError{err, exitUsage}
				}
				out = filepath.Join(filepath.Dir(dir), name+".tar.gz")
			}
			b, err := bundle.Build(dir, out, report)
			if err != nil {
				return exitError{err, exitUsage}
			}
			_, err = fmt.Fprintf(a.stdout, "%s  %s\n", b.SHA256, out)
			return err
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "the bundle, a new file (default restore-drill-ID.tar.gz beside DIR)")
	return cmd
}

func (a *app) evidenceSignCommand() *cobra.Command {
	var key, out string
	cmd := &cobra.Command{
		Use:   "sign BUNDLE",
		Short: "Sign what a bundle says of the backup",
		Long: `Sign an in-toto test result (` + bundle.PredicateType + `) about a bundle and the backup that was restored, in a DSSE envelope.
The result is the report's verdict, passed or failed. Of a drill that could not tell there is nothing to sign.`,
		Example: "  openssl genpkey -algorithm ed25519 -out key.pem\n  openssl pkey -in key.pem -pubout -out key.pub\n  restore-drill evidence sign restore-drill-20261128-094100-7b1e.tar.gz --key key.pem",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			private, err := bundle.ReadPrivateKey(key)
			if err != nil {
				return exitError{err, exitUsage}
			}
			b, err := bundle.Read(args[0])
			if err != nil {
				return exitError{fmt.Errorf("sign nothing: the bundle is not sound:\n%w", err), exitFailed}
			}
			if out == "" {
				out = args[0] + bundle.EnvelopeEnding
			}
			if err := bundle.Sign(cmd.Context(), b, filepath.Base(args[0]), out, private); err != nil {
				return exitError{err, exitUsage}
			}
			id, err := private.KeyID()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "%s: %s, signed with the key %s\n", out, b.Report.Verdict, id)
			return err
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "private key, a PEM file: Ed25519 or ECDSA")
	cmd.Flags().StringVar(&out, "out", "", "the envelope, a new file (default BUNDLE"+bundle.EnvelopeEnding+")")
	if err := cmd.MarkFlagRequired("key"); err != nil {
		panic(err)
	}
	return cmd
}

func (a *app) evidenceVerifyCommand() *cobra.Command {
	var (
		key, envelope, extract string
		unsigned               bool
	)
	cmd := &cobra.Command{
		Use:   "verify BUNDLE",
		Short: "Find out whether anything in a bundle was changed, and who vouches for it",
		Long: `Compare every file of a bundle with its manifest, and the bundle with what was signed. All that is wrong is named.

A manifest is as easily rewritten as the files that it lists: only a signature says that this is what was packed. --unsigned leaves it out, and shows
only that the bundle agrees with itself.

Exit code: 0 sound, 1 something was changed or is not what was signed, 64 usage, or a key or a bundle that is not there.`,
		Example: "  restore-drill evidence verify restore-drill-20261128-094100-7b1e.tar.gz --key key.pub",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (key == "") != unsigned {
				return errors.New("say who has to have signed the bundle, with --key FILE, or that nobody has, with --unsigned")
			}
			if envelope == "" {
				envelope = args[0] + bundle.EnvelopeEnding
			}
			return a.verifyBundle(cmd.Context(), args[0], envelope, key, extract)
		},
	}
	cmd.Flags().StringVar(&key, "key", "", "public key, a PEM file: Ed25519 or ECDSA")
	cmd.Flags().BoolVar(&unsigned, "unsigned", false, "leave out who vouches for the bundle")
	cmd.Flags().StringVar(&envelope, "envelope", "", "what was signed (default BUNDLE"+bundle.EnvelopeEnding+")")
	cmd.Flags().StringVar(&extract, "extract", "", "unpack the bundle, once it is found sound, into this new directory")
	return cmd
}

// verifyBundle with a public key, if there is one.
func (a *app) verifyBundle(ctx context.Context, file, envelope, key, extract string) error {
	var public *bundle.Key
	if key != "" {
		var err error
		if public, err = bundle.ReadPublicKey(key); err != nil {
			return exitError{err, exitUsage}
		}
	}
	for _, needed := range []string{file, envelope} {
		if _, err := os.Stat(needed); err != nil && (needed == file || public != nil) {
			return exitError{err, exitUsage}
		}
	}
	b, err := bundle.Read(file)
	said := ""
	if b != nil && public != nil {
		result, signErr := bundle.VerifySignature(ctx, b, envelope, public)
		err = errors.Join(err, signErr)
		id, idErr := public.KeyID()
		if err = errors.Join(err, idErr); err == nil {
			said = fmt.Sprintf("signed: %s, with the key %s\n", result.Result, id)
		}
	}
	if err != nil {
		return exitError{fmt.Errorf("%s does not verify:\n  %s", file, strings.ReplaceAll(err.Error(), "\n", "\n  ")), exitFailed}
	}
	if said == "" {
		said = "not verified: who packed it (no key was given)\n"
	}
	if extract != "" {
		if err := bundle.Extract(file, extract, b); err != nil {
			return exitError{err, exitUsage}
		}
	}
	_, err = fmt.Fprintf(a.stdout, "%s: sound, %d files\n%sdrill %s, scenario %q: %s\n", file, len(b.Files), said, b.Report.Drill.ID, b.Report.Drill.Scenario, b.Report.Verdict)
	return err
}
