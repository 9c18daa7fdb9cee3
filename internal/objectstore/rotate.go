package objectstore

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Rotate has the store take other credentials from now on, which nobody is told: Credentials are still those from before. It is not for
// concurrent use.
func (s *Store) Rotate(ctx context.Context) error {
	if err := s.server.serve(ctx, environment(s.access, rand.Text()+rand.Text())); err != nil {
		return fmt.Errorf("rotate credentials: %w", err)
	}
	return s.Ready(ctx)
}

// Accepts tells whether the store takes what is signed with its Credentials.
func (s *Store) Accepts(ctx context.Context) (bool, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.Endpoint()+"/"+bucket, nil)
	if err != nil {
		return false, err
	}
	sign(request, "", s.access, s.secret, time.Now())
	response, err := s.client.Do(request)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	switch response.StatusCode {
	case http.StatusOK:
		return true, nil
	case http.StatusForbidden:
		return false, nil
	}
	return false, fmt.Errorf("list bucket %s: %s", bucket, response.Status)
}

// environment tells versitygw its root credentials.
func environment(access, secret string) []string {
	return []string{"ROOT_ACCESS_KEY_ID=" + access, "ROOT_SECRET_ACCESS_KEY=" + secret}
}

// sign a request as S3 asks for (signature version 4).
// Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
func sign(request *http.Request, body, access, secret string, at time.Time) {
	sum := func(b string) string { d := sha256.Sum256([]byte(b)); return hex.EncodeToString(d[:]) }
	mac := func(key []byte, b string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(b))
		return h.Sum(nil)
	}
	now := at.UTC().Format("20060102T150405Z")
	scope := now[:8] + "/" + region + "/s3/aws4_request"
	const signed = "host;x-amz-content-sha256;x-amz-date"
	canonical := strings.Join([]string{request.Method, request.URL.Path, request.URL.RawQuery, "host:" + request.Host, "x-amz-content-sha256:" + sum(body),
		"x-amz-date:" + now, "", signed, sum(body)}, "\n")
	key := []byte("AWS4" + secret)
	for part := range strings.SplitSeq(scope, "/") {
		key = mac(key, part)
	}
	request.Header.Set("x-amz-date", now)
	request.Header.Set("x-amz-content-sha256", sum(body))
	request.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%x",
		access, scope, signed, mac(key, "AWS4-HMAC-SHA256\n"+now+"\n"+scope+"\n"+sum(canonical))))
}
