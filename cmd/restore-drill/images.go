package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/restore-drill/restore-drill/internal/engine"
	"github.com/restore-drill/restore-drill/internal/images"
	"github.com/restore-drill/restore-drill/internal/toolchain"
)

func (a *app) imagesCommand() *cobra.Command {
	return group("images", "The container images that clusters of kind need", a.imagesListCommand(), a.imagesBuildCommand())
}

func (a *app) imagesListCommand() *cobra.Command {
	l := &listing{app: a}
	cmd := &cobra.Command{
		Use: "list", Short: "List the images, and which of them the engine has", Args: cobra.NoArgs,
		Long: "List the images that clusters of kind need, and how they stand in the container engine: missing; built, by \"images build\"; outdated, as\n" +
			"\"images build\" would make it of something else now; or there, from elsewhere.",
		Example: "  restore-drill images list\n  restore-drill images list -o json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			e, err := engine.Find()
			if err != nil {
				return exitError{err, exitFailed}
			}
			if _, err := e.Info(cmd.Context()); err != nil {
				return exitError{err, exitFailed}
			}
			all, err := images.List(cmd.Context(), e)
			if err != nil {
				return exitError{err, exitFailed}
			}
			return list(l, all,
				column[images.Image]{"IMAGE", false, func(i images.Image) string { return i.Ref }},
				column[images.Image]{"STATE", false, func(i images.Image) string { return string(i.State) }},
				column[images.Image]{"SIZE", false, func(i images.Image) string {
					if i.State == images.Missing {
						return ""
					}
					return fmt.Sprintf("%d MiB", i.Size>>20)
				}},
				column[images.Image]{"FOR", false, func(i images.Image) string { return i.For }},
			)
		},
	}
	l.flag(cmd.Flags())
	return cmd
}

func (a *app) imagesBuildCommand() *cobra.Command {
	var o images.Options
	cmd := &cobra.Command{
		Use: "build [IMAGE...]", Short: "Make the images that are missing or outdated, and pull none",
		Long: "Make the images that clusters of kind need, for a machine that can pull none: from the source of the toolchain's pinned modules and from\n" +
			"Debian's packages. It needs Go, a container engine, debootstrap and root's rights. What is current is left as it is, and so are images of the\n" +
			"same names that come from elsewhere. An image appears under its name when it is whole. The first time takes some 20 minutes on two cores.",
		Example: "  restore-drill images build\n  restore-drill images build kindest/node:" + toolchain.DefaultKubernetes + " --mirror https://debian.example/debian",
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
			return images.Refs(), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			e, err := engine.Find()
			if err != nil {
				return exitError{err, exitFailed}
			}
			o.Progress = func(line string) { fmt.Fprintln(a.stderr, line) }
			o.Toolchain = a.toolchain(o.Progress)
			err = images.Build(cmd.Context(), e, o, args...)
			if err == nil || errors.Is(err, toolchain.ErrUnknown) {
				return err
			}
			return exitError{err, exitFailed}
		},
	}
	cmd.Flags().BoolVar(&o.Force, "force", false, "make them though they are current, or come from elsewhere")
	cmd.Flags().StringVar(&o.Mirror, "mirror", "", "a mirror of Debian (debootstrap's own by default)")
	return cmd
}
