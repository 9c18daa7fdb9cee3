package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/restore-drill/restore-drill/drills"
	"github.com/restore-drill/restore-drill/scenarios"
)

const top = "../../"

// pages for people: the README, and what it links to.
func pages(t *testing.T) []string {
	docs, err := filepath.Glob(top + ".github/docs/*.md")
	require.NoError(t, err)
	require.NotEmpty(t, docs)
	return append(docs, top+"README.md", top+"CONTRIBUTING.md")
}

// blocks of a language in a page.
func blocks(t *testing.T, page, language string) (all []string) {
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	for _, m := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllSubmatch(text, -1) {
		all = append(all, string(m[1]))
	}
	return all
}

// TestPagesHoldScenarios parses every YAML block as a scenario.
func TestPagesHoldScenarios(t *testing.T) {
	found := 0
	for _, page := range pages(t) {
		for _, block := range blocks(t, page, "yaml") {
			_, err := scenarios.Parse(page, []byte(block), drills.Vocabulary())
			require.NoError(t, err)
			found++
		}
	}
	require.Greater(t, found, 2)
}

// TestPagesHoldCommands holds that each command line in a page is one that this program takes.
func TestPagesHoldCommands(t *testing.T) {
	found := 0
	for _, page := range pages(t) {
		for _, language := range []string{"sh", "console"} {
			for _, block := range blocks(t, page, language) {
				for _, line := range commandLines(block) {
					require.NoError(t, takes(line), "%s: %s", page, line)
					found++
				}
			}
		}
	}
	require.Greater(t, found, 20)
}

// TestExamplesHoldCommands parses the files for CI systems, and holds that what they run of this program it takes.
func TestExamplesHoldCommands(t *testing.T) {
	files, err := filepath.Glob(top + ".github/examples/*.yml")
	require.NoError(t, err)
	require.Len(t, files, 3)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		var doc yaml.Node
		require.NoError(t, yaml.Unmarshal(text, &doc), file)
		runs := 0
		for _, script := range scripts(&doc, "") {
			for _, line := range commandLines(script) {
				require.NoError(t, takes(line), "%s: %s", file, line)
				runs++
			}
			checkShell(t, file, script)
		}
		require.Positive(t, runs, "%s runs nothing of ours", file)
	}
}

// scripts are what a workflow runs: the values of run, script, before_script and after_script.
func scripts(n *yaml.Node, key string) (all []string) {
	switch n.Kind {
	case yaml.ScalarNode:
		if key == "run" || strings.HasSuffix(key, "script") {
			all = append(all, n.Value)
		}
	case yaml.MappingNode:
		for i := 0; i < len(n.Content); i += 2 {
			all = append(all, scripts(n.Content[i+1], n.Content[i].Value)...)
		}
	default:
		for _, c := range n.Content {
			all = append(all, scripts(c, key)...)
		}
	}
	return all
}

// checkShell has the shell read a script, and run nothing of it.
func checkShell(t *testing.T, file, script string) {
	cmd := exec.CommandContext(t.Context(), "bash", "-n")
	cmd.Stdin = strings.NewReader(script)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s: %s\n%s", file, script, out)
}

// TestPagesHoldGo compiles every Go file in a page, as part of this module.
func TestPagesHoldGo(t *testing.T) {
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	dir := t.TempDir()
	module, err := filepath.Abs(top)
	require.NoError(t, err)
	args := []string{"build", "-overlay", filepath.Join(dir, "overlay.json")}
	for _, page := range pages(t) {
		for i, block := range blocks(t, page, "go") {
			if !strings.HasPrefix(block, "package ") {
				block = "package page\n\nimport (\n\t\"testing\"\n\t\"time\"\n\n\t\"github.com/restore-drill/restore-drill/drills\"\n)\n\n" + block
			}
			name := fmt.Sprintf("%s%d", strings.ToLower(strings.ReplaceAll(strings.TrimSuffix(filepath.Base(page), ".md"), "-", "")), i)
			file := filepath.Join(dir, name+".go")
			require.NoError(t, os.WriteFile(file, []byte(block), 0o600))
			overlay.Replace[filepath.Join(module, "drills", "e2e", name, "page.go")] = file
			args = append(args, "./drills/e2e/"+name)
		}
	}
	require.Greater(t, len(overlay.Replace), 3)
	var text bytes.Buffer
	require.NoError(t, json.NewEncoder(&text).Encode(overlay))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "overlay.json"), text.Bytes(), 0o600))
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = module
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// TestPagesLinkToWhatIsThere follows the links of the pages within the repository.
func TestPagesLinkToWhatIsThere(t *testing.T) {
	for _, page := range pages(t) {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`\]\(([^)#:]+)(?:#[^)]*)?\)`).FindAllSubmatch(text, -1) {
			require.FileExists(t, filepath.Join(filepath.Dir(page), string(m[1])), page)
		}
	}
}
