package reports

// What these tests need, and what CI has to have in place (they say so when they are skipped):
//
//	apt-get install -y chromium                    # on PATH, or named by RESTORE_DRILL_CHROMIUM
//	npm install --prefix "$cache" axe-core@4       # $cache: ${XDG_CACHE_HOME:-~/.cache}/restore-drill-ci
//	export RESTORE_DRILL_AXE=$cache/node_modules/axe-core/axe.min.js

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	cdpnetwork "github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// A chromium is one browser for all the tests of the package's pages.
type chromium struct {
	ctx context.Context
	dir string
}

func startChromium(t *testing.T) *chromium {
	t.Helper()
	path := os.Getenv("RESTORE_DRILL_CHROMIUM")
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path == "" {
			path, _ = exec.LookPath(name)
		}
	}
	if path == "" {
		t.Skip("no Chromium on PATH, and RESTORE_DRILL_CHROMIUM is not set: nothing to open a page with")
	}
	// Root, as in a container, has no sandbox to run it in.
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.WindowSize(1280, 900), chromedp.WSURLReadTimeout(2*time.Minute))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, stop := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(stop)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(cancel)
	require.NoError(t, chromedp.Do(ctx), "start %s", path)
	return &chromium{ctx: ctx, dir: t.TempDir()}
}

type step = chromedp.Action[chromedp.Void]

// command of the protocol, as a step.
func command[P, R any](c cdp.Command[P, R], params P) step {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, c, params)
		return err
	})
}

func evaluate(expression string) step { return chromedp.Evaluate[chromedp.Void](expression) }

// prefer a scheme of colours, as the system of a reader does.
func prefer(scheme string) step {
	return command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}

var (
	onPaper        = command(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: "print"})
	withoutScripts = command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
)

// A tab holds one page, and what it did that a reader does not see.
type tab struct {
	t       *testing.T
	ctx     context.Context
	address string

	mu    sync.Mutex
	noise []string
}

// open a page in a tab of its own, which must stay quiet until the test ends. Before it is loaded, the actions are run.
func (c *chromium) open(t *testing.T, html []byte, before ...step) *tab {
	t.Helper()
	file := filepath.Join(c.dir, strings.NewReplacer("/", "-", " ", "-").Replace(t.Name())+".html")
	require.NoError(t, os.WriteFile(file, html, 0o600))
	ctx, cancel := chromedp.NewContext(c.ctx)
	t.Cleanup(cancel)
	ctx, stop := context.WithTimeout(ctx, 3*time.Minute)
	t.Cleanup(stop)
	b := &tab{t: t, ctx: ctx, address: (&url.URL{Scheme: "file", Path: file}).String()}
	require.NoError(t, chromedp.Listen(ctx, b.hear))
	b.run(command(cdpnetwork.Enable, cdpnetwork.EnableParams{}), command(log.Enable, cdp.Empty{}))
	b.run(before...)
	b.run(chromedp.Navigate(b.address))
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		require.Empty(t, b.noise, "the page was to be quiet")
	})
	return b
}

// hear what a page must not do: complain, ask for anything but itself, open a dialog.
func (b *tab) hear(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *cdpnetwork.EventRequestWillBeSent:
		if address, _, _ := strings.Cut(e.Request.URL, "#"); address != b.address && !strings.HasPrefix(address, "data:") && address != "about:blank" {
			b.noise = append(b.noise, "request: "+e.Request.URL)
		}
	case *runtime.EventConsoleAPICalled:
		b.noise = append(b.noise, fmt.Sprintf("console: %s, %d arguments", e.Type, len(e.Args)))
	case *runtime.EventExceptionThrown:
		b.noise = append(b.noise, fmt.Sprintf("exception: %s %v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception))
	case *log.EventEntryAdded:
		b.noise = append(b.noise, fmt.Sprintf("log: %s %s", e.Entry.Level, e.Entry.Text))
	case *cdppage.EventJavascriptDialogOpening:
		b.noise = append(b.noise, "dialog: "+e.Message)
	}
}

func (b *tab) run(steps ...step) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b.ctx, steps...))
}

// ask evaluates an expression in the page, and waits for what it promises.
func ask[T any](b *tab, expression string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	require.NoError(b.t, err, expression)
	return v
}

// until an expression is true: what the page does on its own time is waited for.
func (b *tab) until(expression string) {
	b.t.Helper()
	for again := time.NewTicker(20 * time.Millisecond); !ask[bool](b, expression); {
		select {
		case <-again.C:
		case <-b.ctx.Done():
			require.NoError(b.t, b.ctx.Err(), expression)
		}
	}
}

func (b *tab) press(keys string) {
	b.t.Helper()
	b.run(chromedp.KeyEvent(keys))
}

// search types into the filter, which a key leads to.
func (b *tab) search(words string) {
	b.t.Helper()
	b.press("/")
	b.until(`document.activeElement.id === 'filter'`)
	// The protocol sends the character apart from its key, so that the page cannot keep it out as it does with a keyboard.
	b.run(evaluate(`document.activeElement.value = ''`))
	b.press(words + kb.Enter)
	b.until(`document.getElementById('matches').textContent !== ''`)
}

func summaryPageBytes(t *testing.T, s *Summary) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, WriteSummaryHTML(&b, s))
	return b.Bytes()
}

func trendPageBytes(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, WriteTrendHTML(&b, SeriesOf(quarter()), began.AddDate(0, 3, 0)))
	return b.Bytes()
}

func TestInChromium(t *testing.T) {
	c := startChromium(t)

	t.Run("every page is quiet, and what it holds stays text", func(t *testing.T) {
		for name, r := range pages() {
			t.Run(name, func(t *testing.T) {
				b := c.open(t, render(t, WriteHTML, r))
				require.Equal(t, 1, ask[int](b, `document.querySelectorAll('script').length`))
				require.Zero(t, ask[int](b, `document.querySelectorAll('img, iframe, object, embed').length`))
				require.Equal(t, 1, ask[int](b, `document.querySelectorAll('h1').length`))
				require.Empty(t, ask[[]string](b, `[...document.querySelectorAll('main *')].filter((e) => e.childElementCount === 0 && e.textContent.trim() && !e.closest('details:not([open]), svg, [data-script]') && !e.checkVisibility()).map((e) => e.outerHTML)`),
					"what is not folded away is seen")
			})
		}
		t.Run("summary", func(t *testing.T) { c.open(t, summaryPageBytes(t, Summarize(hostileReport(), passedReport()))) })
		t.Run("trend", func(t *testing.T) { c.open(t, trendPageBytes(t)) })
	})

	t.Run("the filter", func(t *testing.T) {
		b := c.open(t, render(t, WriteHTML, failedReport()))
		shown := func() []string {
			return ask[[]string](b, `[...document.querySelectorAll('.diff')].filter((e) => e.checkVisibility()).map((e) => e.querySelector('.object').textContent.trim())`)
		}
		everything := len(shown())
		require.Greater(t, everything, 4)

		b.search("payment SHOP")
		require.Equal(t, []string{"v1 secrets shop/payment-gateway"}, shown(), "every word has to be there, in any case")
		require.Equal(t, []string{"checks", "fidelity"},
			ask[[]string](b, `[...document.querySelectorAll('main > section')].filter((e) => e.checkVisibility()).map((e) => e.id).filter((id) => id !== 'objectives')`))
		require.Regexp(t, `^\d+ of \d+ entries$`, ask[string](b, `document.getElementById('matches').textContent`))

		b.press(kb.Escape)
		b.until(`document.getElementById('matches').textContent === ''`)
		require.Len(t, shown(), everything)
		require.Zero(t, ask[int](b, `document.querySelectorAll('main [hidden], main .filtered').length`))

		b.run(chromedp.Click(chromedp.CSS(`.chip[data-status=expected]`)))
		b.until(`document.getElementById('matches').textContent !== ''`)
		require.Equal(t, "true", ask[string](b, `document.querySelector('.chip[data-status=expected]').getAttribute('aria-pressed')`))
		require.Zero(t, ask[int](b, `[...document.querySelectorAll('main [data-status]')].filter((e) => e.checkVisibility() && !['expected'].includes(e.dataset.status)).length`))
		require.Len(t, shown(), 5, "those that rules allow, unfolded")
		b.press(kb.Escape)
		b.until(`document.getElementById('matches').textContent === ''`)

		b.search("no object has this name")
		b.until(`document.getElementById('matches').textContent.startsWith('0 of')`)
		require.Empty(t, shown())
	})

	t.Run("links to entries", func(t *testing.T) {
		b := c.open(t, render(t, WriteHTML, largeReport(50_000, 1_000)))
		for _, id := range []string{"mark-struck", ask[string](b, `document.querySelector('.named li:last-child').id`), ask[string](b, `document.querySelector('.rulebox .diff:last-child').id`)} {
			require.NotEmpty(t, id)
			require.False(t, ask[bool](b, fmt.Sprintf(`document.getElementById(%q).checkVisibility()`, id)), "%s is folded away", id)
			b.run(evaluate(fmt.Sprintf(`location.hash = %q`, id)))
			b.until(fmt.Sprintf(`(() => { const e = document.getElementById(%q), r = e.getBoundingClientRect(); return e.checkVisibility() && r.top >= 0 && r.top < innerHeight; })()`, id))
		}
		// The address follows what is unfolded, so that it can be sent to somebody.
		b.run(evaluate(`document.querySelector('.check.v-passed > summary').click()`))
		require.Equal(t, "#check-freshness", ask[string](b, `location.hash`))
		// And it is the same in the next report of the same things.
		require.Equal(t, newPage(failedReport()).Detailed[2].Anchor, newPage(failedReport()).Detailed[2].Anchor)
	})

	t.Run("copying", func(t *testing.T) {
		b := c.open(t, render(t, WriteHTML, passedReport()))
		for _, name := range []string{"clipboard-read", "clipboard-write"} {
			b.run(command(browser.SetPermission, browser.SetPermissionParams{Permission: &browser.PermissionDescriptor{Name: name}, Setting: browser.PermissionSettingGranted}))
		}
		b.run(command(cdppage.BringToFront, cdp.Empty{}))
		b.run(evaluate(`document.querySelector('#artifact-snapshot-2 tr:last-child .copy').click()`))
		b.until(`document.getElementById('said').textContent === 'Copied'`)
		require.Equal(t, strings.Repeat("90ce3d47", 8), ask[string](b, `navigator.clipboard.readText()`))
		b.run(evaluate(`document.querySelector('#scenario .copy').click()`))
		b.until(`document.getElementById('said').textContent === 'Copied'`)
		require.Equal(t, strings.TrimSpace(fixtureScenario), ask[string](b, `navigator.clipboard.readText()`))
	})

	t.Run("colours", func(t *testing.T) {
		b := c.open(t, render(t, WriteHTML, passedReport()), prefer("dark"))
		ground := func() string { return ask[string](b, `getComputedStyle(document.body).backgroundColor`) }
		require.Equal(t, "rgb(14, 19, 26)", ground(), "those of the system")
		b.press("d")
		b.until(`getComputedStyle(document.body).backgroundColor === 'rgb(244, 245, 248)'`)
		b.run(chromedp.Reload())
		require.Equal(t, "rgb(244, 245, 248)", ground(), "the reader's choice stays")
		b.run(chromedp.Click(chromedp.CSS("#scheme")))
		b.until(`getComputedStyle(document.body).backgroundColor === 'rgb(14, 19, 26)'`)
		b.run(onPaper)
		require.Equal(t, "rgb(255, 255, 255)", ground(), "paper is white, whatever was chosen")
		b.run(evaluate(`localStorage.clear()`))
	})

	t.Run("keys", func(t *testing.T) {
		b := c.open(t, render(t, WriteHTML, failedReport()))
		var seen []string
		for range 3 {
			b.press("j")
			seen = append(seen, ask[string](b, `document.activeElement.closest('[data-status]').id`))
		}
		require.Len(t, slices.Compact(slices.Sorted(slices.Values(seen))), 3)
		for _, id := range seen {
			require.Contains(t, []string{"failed", "unknown"}, ask[string](b, fmt.Sprintf(`document.getElementById(%q).dataset.status`, id)))
		}
		b.press("k")
		require.Equal(t, seen[1], ask[string](b, `document.activeElement.closest('[data-status]').id`))
		b.press("x")
		require.Zero(t, ask[int](b, `document.querySelectorAll('main details:not([open])').length`))
		b.press("x")
		require.Zero(t, ask[int](b, `document.querySelectorAll('main details[open]').length`))
		b.press("?")
		require.True(t, ask[bool](b, `document.getElementById('help').open`))
		b.press(kb.Escape)
		b.until(`!document.getElementById('help').open`)
		// Everything that can be pressed can be reached and has a name.
		require.Empty(t, ask[[]string](b, `[...document.querySelectorAll('button, a, summary, input')].filter((e) => e.tabIndex < 0 || !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length)).map((e) => e.outerHTML)`))
	})

	t.Run("without scripts nothing is lost", func(t *testing.T) {
		for name, fixture := range fixtures {
			t.Run(name, func(t *testing.T) {
				html := render(t, WriteHTML, fixture())
				with := c.open(t, html)
				const words = `document.querySelector('main').textContent.replace(/\s+/g, ' ')`
				all := ask[string](with, words)
				without := c.open(t, html, withoutScripts)
				require.Equal(t, all, ask[string](without, words))
				require.Zero(t, ask[int](without, `[...document.querySelectorAll('[data-script], dialog, template')].filter((e) => e.checkVisibility()).length`), "no dead control")
				require.Zero(t, ask[int](without, `document.querySelectorAll('main [hidden]').length`))

				// On paper the folds are open, without a script to open them.
				without.run(onPaper)
				require.Empty(t, ask[[]string](without, `[...document.querySelectorAll('main p, main li, main td, main th, main pre, main dd')].filter((e) => !e.checkVisibility() && e.textContent.trim()).map((e) => e.textContent)`))
				pdf, err := chromedp.Run(without.ctx, chromedp.PrintToPDF(chromedp.PDFPrintBackground()))
				require.NoError(t, err)
				require.True(t, bytes.HasPrefix(pdf, []byte("%PDF-")))
			})
		}
	})

	t.Run("20,000 differences", func(t *testing.T) {
		r := largeReport(50_000, 40_000) // one half is expected
		html := render(t, WriteHTML, r)
		require.Less(t, len(html), 10<<20)
		b := c.open(t, html)
		require.Equal(t, 20_000, ask[int](b, `document.querySelectorAll('#fidelity [data-status=failed].diff, #fidelity [data-each=failed] > li').length`))
		b.search("thing-019999")
		b.until(`document.getElementById('matches').textContent.startsWith('1 of')`)
		require.Contains(t, ask[string](b, `[...document.querySelectorAll('.named li')].filter((e) => e.checkVisibility()).map((e) => e.textContent).join()`), "namespace-199/thing-019999")
		b.press(kb.Escape)
		b.until(`document.getElementById('matches').textContent === ''`)
	})

	t.Run("a telephone", func(t *testing.T) {
		for name, html := range map[string][]byte{"failed": render(t, WriteHTML, failedReport()), "hostile": render(t, WriteHTML, hostileReport()), "volumes": render(t, WriteHTML, volumesReport()), "summary": summaryPageBytes(t, summarized()), "trend": trendPageBytes(t)} {
			t.Run(name, func(t *testing.T) {
				b := c.open(t, html, chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile))
				require.Empty(t, ask[[]string](b, `[...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > 361 && !e.closest('.scroll, pre, nav, .symbols')).map((e) => e.outerHTML.slice(0, 120))`))
				require.LessOrEqual(t, ask[int](b, `document.documentElement.scrollWidth`), 360, "only tables and pictures scroll sideways, in their own frames")
			})
		}
	})

	t.Run("accessibility", func(t *testing.T) {
		axe := os.Getenv("RESTORE_DRILL_AXE")
		if axe == "" {
			t.Skip("RESTORE_DRILL_AXE is not set: no axe-core to check with")
		}
		source, err := os.ReadFile(axe)
		require.NoError(t, err)
		for name, html := range map[string][]byte{
			"passed": render(t, WriteHTML, passedReport()), "failed": render(t, WriteHTML, failedReport()), "unknown": render(t, WriteHTML, unknownReport()), "volumes": render(t, WriteHTML, volumesReport()),
			"summary": summaryPageBytes(t, summarized()), "trend": trendPageBytes(t),
		} {
			for _, scheme := range []string{"light", "dark"} {
				t.Run(name+" "+scheme, func(t *testing.T) {
					b := c.open(t, html, prefer(scheme))
					b.press("x") // what is folded cannot be seen to be wrong
					b.run(evaluate(string(source)))
					require.Empty(t, violations(b), "%s, %s", name, scheme)
				})
			}
		}
		// And it does find what is wrong.
		b := c.open(t, []byte(`<!DOCTYPE html><html lang="en"><head><title>x</title></head><body><p style="color:#aaa;background:#fff">hard to read</p></body></html>`))
		b.run(evaluate(string(source)))
		require.Contains(t, strings.Join(violations(b), "\n"), "color-contrast")
		require.Contains(t, strings.Join(violations(b), "\n"), "landmark-one-main")
	})
}

// violations of axe-core's rules, of all that it has.
func violations(b *tab) (all []string) {
	b.t.Helper()
	found := ask[string](b, `axe.run().then((r) => JSON.stringify(r.violations.flatMap((v) => v.nodes.map((n) => v.id + ': ' + n.html.slice(0, 200) + ' ' + n.failureSummary))))`)
	require.NoError(b.t, json.Unmarshal([]byte(found), &all))
	return all
}
