package announce

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/restore-drill/restore-drill/reports"
)

// EventType of the event that a drill ends in.
const EventType = "io.restoredrill.drill.finished.v1"

// attempts at most, the first wait between them, and the longest that a receiver may ask for.
const (
	attempts  = 5
	firstWait = 500 * time.Millisecond
	longest   = 10 * time.Second
)

// An Event is a CloudEvent (https://cloudevents.io), version 1.0, in its structured mode.
type Event struct {
	SpecVersion     string    `json:"specversion"`
	ID              string    `json:"id"`
	Source          string    `json:"source"`
	Type            string    `json:"type"`
	Subject         string    `json:"subject"`
	Time            time.Time `json:"time"`
	DataContentType string    `json:"datacontenttype"`
	Data            Outcome   `json:"data"`
}

// An Outcome is what a receiver needs to tell people; the report has all of it.
type Outcome struct {
	Verdict    reports.Verdict     `json:"verdict"`
	Reason     string              `json:"reason"`
	AsDeclared bool                `json:"asDeclared"`
	Drill      reports.Drill       `json:"drill"`
	Objectives []reports.Objective `json:"objectives"`
	// Checks that did not pass and were not skipped.
	Checks []Check `json:"checks"`
}

// A Check is how one question was judged.
type Check struct {
	Name    string          `json:"name"`
	Verdict reports.Verdict `json:"verdict"`
	Reason  string          `json:"reason"`
}

// event of a drill.
func event(r *reports.Report) Event {
	e := Event{
		SpecVersion: "1.0", ID: r.Drill.ID, Source: "/restore-drill/" + r.Drill.Provider, Type: EventType, Subject: r.Drill.Scenario,
		Time: r.Drill.Started.UTC().Add(time.Duration(r.Drill.Seconds * float64(time.Second))), DataContentType: "application/json",
		Data: Outcome{Verdict: r.Verdict, Reason: r.Reason, AsDeclared: r.Declared.AsDeclared, Drill: r.Drill, Objectives: r.Objectives, Checks: []Check{}},
	}
	for _, c := range r.Checks {
		if c.Verdict == reports.Failed || c.Verdict == reports.Unknown {
			e.Data.Checks = append(e.Data.Checks, Check{c.Name, c.Verdict, c.Reason})
		}
	}
	return e
}

// webhookKey of a secret: the bytes behind whsec_, in base64, or the secret itself.
func webhookKey(secret string) ([]byte, error) {
	encoded, standard := strings.CutPrefix(secret, "whsec_")
	if !standard {
		return []byte(secret), nil
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(key) == 0 {
		return nil, errors.New("secret of the webhook: what follows whsec_ is no base64")
	}
	return key, nil
}

// Sign is the signature that a receiver compares, as Standard Webhooks has it (https://www.standardwebhooks.com): over the ID, the time and the body.
func Sign(key []byte, id, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.", id, timestamp)
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// post the event of a drill, and try again as long as that may help.
func post(ctx context.Context, address, secret string, r *reports.Report) error {
	key, err := webhookKey(secret)
	if err != nil {
		return err
	}
	body, err := json.Marshal(event(r))
	if err != nil {
		return fmt.Errorf("write the event for the webhook: %w", err)
	}
	client := &http.Client{CheckRedirect: stay}
	wait := firstWait
	for n := 1; ; n++ {
		after, again, err := deliver(ctx, client, address, key, r.Drill.ID, body)
		if err == nil {
			return nil
		}
		err = fmt.Errorf("post to the webhook %s: %w", host(address), err)
		if n > 1 {
			err = fmt.Errorf("%w (%d attempts)", err, n)
		}
		if !again || n == attempts {
			return err
		}
		timer := time.NewTimer(max(wait, after))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return fmt.Errorf("%w; no time is left to try again", err)
		}
		wait *= 2
	}
}

// deliver once. After is when the receiver wants to be asked again; again tells whether that may help.
func deliver(ctx context.Context, client *http.Client, address string, key []byte, id string, body []byte) (after time.Duration, again bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return 0, false, inner(err)
	}
	now := strconv.FormatInt(time.Now().Unix(), 10)
	request.Header.Set("Content-Type", "application/cloudevents+json; charset=utf-8")
	request.Header.Set("User-Agent", "restore-drill")
	request.Header.Set("Webhook-Id", id)
	request.Header.Set("Webhook-Timestamp", now)
	if len(key) > 0 {
		request.Header.Set("Webhook-Signature", Sign(key, id, now, body))
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, ctx.Err() == nil, inner(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)); err != nil && response.StatusCode < 300 {
		return 0, false, nil // it has taken the event
	}
	switch code := response.StatusCode; {
	case code >= 200 && code < 300:
		return 0, false, nil
	case code == http.StatusRequestTimeout || code == http.StatusTooEarly || code == http.StatusTooManyRequests || code >= 500:
		again = true
	}
	if s, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && s > 0 {
		after = min(time.Duration(min(s, 3600))*time.Second, longest)
	}
	return after, again, errors.New("it answered " + strconv.Itoa(response.StatusCode) + " " + http.StatusText(response.StatusCode))
}
