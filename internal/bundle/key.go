package bundle

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// maxKey bounds a key file.
const maxKey = 64 << 10

// A Key signs, or only verifies: Ed25519, or ECDSA over P-256, P-384 or P-521 with the SHA-2 of its size.
type Key struct {
	private crypto.Signer
	public  crypto.PublicKey
}

var _ dsse.SignerVerifier = &Key{}

// ReadPrivateKey reads a PEM file: PKCS #8, or SEC 1 for ECDSA.
func ReadPrivateKey(file string) (*Key, error) {
	block, err := readPEM(file)
	if err != nil {
		return nil, err
	}
	var key any
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	case "RSA PRIVATE KEY":
		key = &rsa.PrivateKey{}
	case "ENCRYPTED PRIVATE KEY":
		err = fmt.Errorf("it is encrypted (openssl pkey -in %s -out FILE decrypts it)", file)
	case "PUBLIC KEY", "CERTIFICATE":
		err = errors.New("it is public: want the private key")
	default:
		err = fmt.Errorf("it is a %q: want a private key", block.Type)
	}
	if err == nil && (block.Headers["DEK-Info"] != "") {
		err = fmt.Errorf("it is encrypted (openssl pkey -in %s -out FILE decrypts it)", file)
	}
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", file, err)
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, fmt.Errorf("read key %s: it is a %T and signs nothing: want Ed25519 or ECDSA", file, key)
	}
	if err := usable(signer.Public()); err != nil {
		return nil, fmt.Errorf("read key %s: %w", file, err)
	}
	return &Key{signer, signer.Public()}, nil
}

// ReadPublicKey reads a PEM file.
func ReadPublicKey(file string) (*Key, error) {
	block, err := readPEM(file)
	if err != nil {
		return nil, err
	}
	var key any
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key = &rsa.PublicKey{}
	case "PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY":
		err = fmt.Errorf("it is private, and who verifies should not have it: want the public key (openssl pkey -in %s -pubout -out FILE)", file)
	default:
		err = fmt.Errorf("it is a %q: want a public key", block.Type)
	}
	if err == nil {
		err = usable(key)
	}
	if err != nil {
		return nil, fmt.Errorf("read key %s: %w", file, err)
	}
	return &Key{public: key}, nil
}

// readPEM reads the one block of a file that is a key.
func readPEM(file string) (*pem.Block, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKey))
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	block, rest := pem.Decode(b)
	if block != nil && block.Type == "EC PARAMETERS" { // as openssl ecparam -genkey writes it
		block, rest = pem.Decode(rest)
	}
	if block == nil {
		return nil, fmt.Errorf("read key %s: it holds no PEM block: want an Ed25519 or ECDSA key (openssl genpkey -algorithm ed25519 makes one)", file)
	}
	if next, _ := pem.Decode(rest); next != nil {
		return nil, fmt.Errorf("read key %s: it holds more than one key", file)
	}
	return block, nil
}

// usable tells that a public key is of a kind that signs statements.
func usable(public crypto.PublicKey) error {
	switch k := public.(type) {
	case ed25519.PublicKey:
		return nil
	case *ecdsa.PublicKey:
		if k.Curve == elliptic.P224() {
			return errors.New("it is an ECDSA key over P-224: want P-256, P-384 or P-521, or Ed25519")
		}
		return nil
	case *rsa.PublicKey:
		return errors.New("it is an RSA key: want Ed25519 or ECDSA")
	}
	return fmt.Errorf("it is a %T: want Ed25519 or ECDSA", public)
}

// digest of data that an ECDSA key signs; nothing for Ed25519, which signs the data itself.
func (k *Key) digest(data []byte) ([]byte, crypto.Hash) {
	e, ok := k.public.(*ecdsa.PublicKey)
	if !ok {
		return data, 0
	}
	h := crypto.SHA512
	switch e.Curve {
	case elliptic.P256():
		h = crypto.SHA256
	case elliptic.P384():
		h = crypto.SHA384
	}
	sum := h.New()
	sum.Write(data)
	return sum.Sum(nil), h
}

// Sign implements dsse.Signer.
func (k *Key) Sign(_ context.Context, data []byte) ([]byte, error) {
	if k.private == nil {
		return nil, errors.New("sign: the key is public")
	}
	d, h := k.digest(data)
	return k.private.Sign(rand.Reader, d, h)
}

// Verify implements dsse.Verifier.
func (k *Key) Verify(_ context.Context, data, signature []byte) error {
	d, _ := k.digest(data)
	ok := false
	switch p := k.public.(type) {
	case ed25519.PublicKey:
		ok = ed25519.Verify(p, d, signature)
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(p, d, signature)
	}
	if !ok {
		return errors.New("the signature is not of this key")
	}
	return nil
}

// KeyID is the fingerprint that ssh-keygen gives of the key: SHA256:...
func (k *Key) KeyID() (string, error) { return dsse.SHA256KeyID(k.public) }

// Public implements dsse.Verifier.
func (k *Key) Public() crypto.PublicKey { return k.public }
