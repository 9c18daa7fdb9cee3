package bundle

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"

	testresult "github.com/in-toto/attestation/go/predicates/test_result/v0"
	intoto "github.com/in-toto/attestation/go/v1"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/restore-drill/restore-drill/reports"
)

const (
	// PredicateType of the statement.
	PredicateType = "https://in-toto.io/attestation/test-result/v0.1"
	// PayloadType of an envelope with an in-toto statement.
	PayloadType = "application/vnd.in-toto+json"
	// EnvelopeEnding is added to a bundle's name.
	EnvelopeEnding = ".intoto.jsonl"

	resultPassed = "PASSED"
	resultFailed = "FAILED"

	maxEnvelope = 16 << 20
)

// Statement is the in-toto test result of a sound bundle. Its subjects are the bundle, called name, and each backup that was restored; its
// configuration is the scenario. Where the drill could not tell, there is none: the statement knows no third result.
func Statement(b *Bundle, name string) ([]byte, error) {
	result, err := testResult(b)
	if err != nil {
		return nil, err
	}
	s := &intoto.Statement{Type: intoto.StatementTypeUri, PredicateType: PredicateType, Subject: []*intoto.ResourceDescriptor{descriptor(name, b.SHA256)}}
	for _, a := range b.Report.Artifacts {
		if sum, err := hex.DecodeString(a.SHA256); err == nil && len(sum) == 32 && a.Restored {
			s.Subject = append(s.Subject, descriptor(path.Join("artifacts", a.Name, a.Facts["digest of"]), a.SHA256))
		}
	}
	text, err := protojson.Marshal(result)
	if err != nil {
		return nil, fmt.Errorf("write the statement: %w", err)
	}
	s.Predicate = &structpb.Struct{}
	if err := protojson.Unmarshal(text, s.Predicate); err != nil {
		return nil, fmt.Errorf("write the statement: %w", err)
	}
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("write the statement: %w", err)
	}
	if text, err = protojson.Marshal(s); err != nil {
		return nil, fmt.Errorf("write the statement: %w", err)
	}
	// protojson puts spaces here or there, so that nobody relies on its bytes.
	var plain bytes.Buffer
	if err := json.Compact(&plain, text); err != nil {
		return nil, fmt.Errorf("write the statement: %w", err)
	}
	return plain.Bytes(), nil
}

func testResult(b *Bundle) (*testresult.TestResult, error) {
	r := b.Report
	out := &testresult.TestResult{}
	switch r.Verdict {
	case reports.Passed:
		out.Result = resultPassed
	case reports.Failed:
		out.Result = resultFailed
	default:
		return nil, fmt.Errorf("state the result of %s: its verdict is %s, and a test result says passed or failed: there is nothing to sign (%s)", b.Name, r.Verdict, r.Reason)
	}
	for _, name := range []string{"scenario.yaml", "report.json"} {
		out.Configuration = append(out.Configuration, descriptor(name, b.Files[name].SHA256))
	}
	for _, c := range r.Checks {
		switch c.Verdict {
		case reports.Passed:
			out.PassedTests = append(out.PassedTests, c.Name)
		case reports.Failed:
			out.FailedTests = append(out.FailedTests, c.Name)
		case reports.Unknown:
			out.WarnedTests = append(out.WarnedTests, c.Name)
		}
	}
	return out, nil
}

func descriptor(name, sha256 string) *intoto.ResourceDescriptor {
	return &intoto.ResourceDescriptor{Name: name, Digest: map[string]string{"sha256": sha256}}
}

// Sign writes the envelope of a sound bundle into a new file.
func Sign(ctx context.Context, b *Bundle, name, envelope string, key *Key) error {
	statement, err := Statement(b, name)
	if err != nil {
		return err
	}
	signer, err := dsse.NewEnvelopeSigner(key)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	e, err := signer.SignPayload(ctx, PayloadType, statement)
	if err != nil {
		return fmt.Errorf("sign: %w", err)
	}
	return create(envelope, func(w io.Writer) error {
		j := json.NewEncoder(w)
		j.SetEscapeHTML(false)
		return j.Encode(e)
	})
}

// VerifySignature tells that the key signed a test result of this bundle, and that the result is the report's. It returns what the statement says.
func VerifySignature(ctx context.Context, b *Bundle, envelope string, key *Key) (*testresult.TestResult, error) {
	f, err := os.Open(envelope)
	if err != nil {
		return nil, fmt.Errorf("read the signature: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxEnvelope+1))
	if err == nil && len(text) > maxEnvelope {
		err = fmt.Errorf("it is larger than %d bytes", maxEnvelope)
	}
	var e dsse.Envelope
	if err == nil {
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err = d.Decode(&e); err == nil && d.More() {
			err = errors.New("something follows the envelope")
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read the signature %s: no DSSE envelope: %w", envelope, err)
	}
	if e.PayloadType != PayloadType {
		return nil, fmt.Errorf("verify %s: it is an envelope of %q, and not of %q", envelope, e.PayloadType, PayloadType)
	}
	verifier, err := dsse.NewEnvelopeVerifier(key)
	if err != nil {
		return nil, fmt.Errorf("verify %s: %w", envelope, err)
	}
	_, payload, err := verifier.VerifyAndDecode(ctx, &e)
	if err != nil {
		id, _ := key.KeyID()
		return nil, fmt.Errorf("verify %s: the key %s did not sign this statement: it, or the envelope, was changed, or another key signed it (%w)", envelope, id, err)
	}
	return agree(b, envelope, payload)
}

// agree tells that a statement, which somebody has signed, is about this bundle and says what its report says.
func agree(b *Bundle, envelope string, payload []byte) (*testresult.TestResult, error) {
	var s intoto.Statement
	if err := protojson.Unmarshal(payload, &s); err != nil {
		return nil, fmt.Errorf("read the statement in %s: %w", envelope, err)
	}
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("read the statement in %s: %w", envelope, err)
	}
	if s.PredicateType != PredicateType {
		return nil, fmt.Errorf("read the statement in %s: it is of type %s, and not of %s", envelope, s.PredicateType, PredicateType)
	}
	text, err := protojson.Marshal(s.Predicate)
	result := &testresult.TestResult{}
	if err == nil {
		err = protojson.Unmarshal(text, result)
	}
	if err != nil {
		return nil, fmt.Errorf("read the test result in %s: %w", envelope, err)
	}
	var errs []error
	if signed := s.Subject[0]; signed.Digest["sha256"] != b.SHA256 {
		errs = append(errs, fmt.Errorf("%s: what was signed is another bundle, or this one before it was changed: %s with SHA-256 %s, and this one has %s", envelope, signed.Name, signed.Digest["sha256"], b.SHA256))
	}
	want := map[string]reports.Verdict{resultPassed: reports.Passed, resultFailed: reports.Failed}[result.Result]
	if b.Report != nil && (want != b.Report.Verdict || want == reports.Unknown) {
		errs = append(errs, fmt.Errorf("%s: the signed result is %q, and the report in the bundle says %s", envelope, result.Result, b.Report.Verdict))
	}
	for _, c := range result.Configuration {
		if f, ok := b.Files[c.Name]; !ok || f.SHA256 != c.Digest["sha256"] {
			errs = append(errs, fmt.Errorf("%s: the signed result is of another %s than the bundle's", envelope, c.Name))
		}
	}
	return result, errors.Join(errs...)
}
