package census

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// digestBytes of a keyed digest are kept: enough that two values never meet by chance.
const digestBytes = 16

// A digester makes keyed digests. Without the key, a digest says nothing of a value that could be guessed.
type digester struct {
	mac hash.Hash
	sum []byte
}

func newDigester(key []byte) *digester { return &digester{mac: hmac.New(sha256.New, key)} }

// of returns the digest of b. It is valid until the next call.
func (d *digester) of(b []byte) []byte {
	d.mac.Reset()
	d.mac.Write(b)
	d.sum = d.mac.Sum(d.sum[:0])
	return d.sum[:digestBytes]
}

// Canonical is the form in which objects are compared: two objects have the same one exactly when they mean the same.
// Keys are sorted, numbers and strings have one spelling, apiVersion, kind, metadata.resourceVersion and
// metadata.managedFields are dropped. A secret's data, stringData and annotations (tools keep whole manifests in them)
// become digests under the key.
func Canonical(object []byte, secret bool, key []byte) ([]byte, error) {
	c := canonicaliser{digests: newDigester(key)}
	n, err := c.object(object, secret)
	if errors.Is(err, errShort) {
		err = fmt.Errorf("read object: it ends in the middle, after %d bytes", len(object))
	}
	if err != nil {
		return nil, err
	}
	if rest := bytes.TrimLeft(object[n:], " \t\r\n"); len(rest) > 0 {
		return nil, fmt.Errorf("read object: %d bytes follow it", len(rest))
	}
	return c.out, nil
}

// errShort says that the input ends within a value.
var errShort = errors.New("input ends within a value")

// maxDepth of nested values. The API server accepts no deeper ones.
const maxDepth = 10000

// A canonicaliser brings one object after another into canonical form, in one pass over the bytes.
type canonicaliser struct {
	digests *digester
	in      []byte
	pos     int
	out     []byte
	depth   int
	// open objects' members; those of the innermost come last.
	open   []member
	sorted []byte
	byName func(a, b member) int
	secret bool
	// What the object's metadata says.
	name, namespace, resourceVersion string
}

// A member of an object lies at out[start:end]; out[start:key] is its name, in canonical spelling and with quotes.
type member struct{ start, key, end int }

// A place in an object decides what becomes of the values there.
type place int

const (
	elsewhere place = iota
	root
	metadata
	confidential // every member's value becomes a digest
)

// object reads one object from the start of in, leaves its canonical form in c.out and returns the bytes it took.
func (c *canonicaliser) object(in []byte, secret bool) (int, error) {
	c.in, c.pos, c.out, c.open, c.depth, c.secret = in, 0, c.out[:0], c.open[:0], 0, secret
	c.name, c.namespace, c.resourceVersion = "", "", ""
	b, err := c.next()
	if err != nil {
		return 0, err
	}
	if b != '{' {
		return 0, c.errorf("want an object, found %q", b)
	}
	if err := c.value(root); err != nil {
		return 0, err
	}
	return c.pos, nil
}

func (c *canonicaliser) errorf(format string, args ...any) error {
	return fmt.Errorf("read object: at byte %d: %s", c.pos, fmt.Sprintf(format, args...))
}

// next returns the first byte that is not white space, and stays there.
func (c *canonicaliser) next() (byte, error) {
	for ; c.pos < len(c.in); c.pos++ {
		switch b := c.in[c.pos]; b {
		case ' ', '\t', '\r', '\n':
		default:
			return b, nil
		}
	}
	return 0, errShort
}

func (c *canonicaliser) value(at place) error {
	b, err := c.next()
	if err != nil {
		return err
	}
	switch b {
	case '{':
		return c.members(at)
	case '[':
		return c.elements()
	case '"':
		return c.str()
	case 't':
		return c.literal("true")
	case 'f':
		return c.literal("false")
	case 'n':
		return c.literal("null")
	default:
		return c.number()
	}
}

func (c *canonicaliser) literal(word string) error {
	have := c.in[c.pos:min(len(c.in), c.pos+len(word))]
	if string(have) != word[:len(have)] {
		return c.errorf("want %s", word)
	}
	if len(have) < len(word) {
		return errShort
	}
	c.pos += len(word)
	c.out = append(c.out, word...)
	return nil
}

func (c *canonicaliser) descend() error {
	if c.depth++; c.depth > maxDepth {
		return c.errorf("nested deeper than %d", maxDepth)
	}
	return nil
}

func (c *canonicaliser) elements() error {
	if err := c.descend(); err != nil {
		return err
	}
	defer func() { c.depth-- }()
	c.pos++
	c.out = append(c.out, '[')
	for first := true; ; first = false {
		b, err := c.next()
		if err != nil {
			return err
		}
		if b == ']' && first {
			break
		}
		if !first {
			if b == ']' {
				break
			}
			if b != ',' {
				return c.errorf("want , or ] in a list, found %q", b)
			}
			c.pos++
			c.out = append(c.out, ',')
		}
		if err := c.value(elsewhere); err != nil {
			return err
		}
	}
	c.pos++
	c.out = append(c.out, ']')
	return nil
}

func (c *canonicaliser) members(at place) error {
	if err := c.descend(); err != nil {
		return err
	}
	defer func() { c.depth-- }()
	c.pos++
	c.out = append(c.out, '{')
	begin, outer, inOrder := len(c.out), len(c.open), true
	for first := true; ; first = false {
		b, err := c.next()
		if err != nil {
			return err
		}
		if b == '}' {
			break
		}
		if !first {
			if b != ',' {
				return c.errorf("want , or } in an object, found %q", b)
			}
			c.pos++
			if b, err = c.next(); err != nil {
				return err
			}
		}
		if b != '"' {
			return c.errorf("want a member's name, found %q", b)
		}
		m := member{start: len(c.out)}
		if err := c.str(); err != nil {
			return err
		}
		m.key = len(c.out)
		if b, err = c.next(); err != nil {
			return err
		}
		if b != ':' {
			return c.errorf("want : after a member's name, found %q", b)
		}
		c.pos++
		c.out = append(c.out, ':')
		keep, err := c.memberValue(at, m)
		if err != nil {
			return err
		}
		if !keep {
			c.out = c.out[:m.start]
			continue
		}
		m.end = len(c.out)
		c.out = append(c.out, ',')
		if n := len(c.open); n > outer && c.compare(c.open[n-1], m) >= 0 {
			inOrder = false
		}
		c.open = append(c.open, m)
	}
	c.pos++
	mine := c.open[outer:]
	if !inOrder {
		if c.byName == nil {
			c.byName = c.compare
		}
		slices.SortFunc(mine, c.byName)
		c.sorted = c.sorted[:0]
		for i, m := range mine {
			if i > 0 && c.compare(mine[i-1], m) == 0 {
				return c.errorf("member %s is there twice", c.out[m.start:m.key])
			}
			c.sorted = append(c.sorted, c.out[m.start:m.end+1]...)
		}
		copy(c.out[begin:], c.sorted)
	}
	if len(mine) > 0 {
		c.out = c.out[:len(c.out)-1]
	}
	c.open = c.open[:outer]
	c.out = append(c.out, '}')
	return nil
}

func (c *canonicaliser) compare(a, b member) int {
	return bytes.Compare(c.out[a.start:a.key], c.out[b.start:b.key])
}

// memberValue reads the value of the member m of an object at a place, and says whether the member belongs to the form.
func (c *canonicaliser) memberValue(at place, m member) (keep bool, err error) {
	if at == elsewhere {
		return true, c.value(elsewhere)
	}
	name, start := c.out[m.start+1:m.key-1], len(c.out)
	switch at {
	case root:
		switch string(name) {
		case "apiVersion", "kind":
			return false, c.value(elsewhere)
		case "metadata":
			return true, c.value(metadata)
		case "data", "stringData":
			if c.secret {
				return true, c.value(confidential)
			}
		}
	case metadata:
		var field *string
		switch string(name) {
		case "managedFields":
			return false, c.skip()
		case "annotations":
			if c.secret {
				return true, c.value(confidential)
			}
		case "name":
			field = &c.name
		case "namespace":
			field = &c.namespace
		case "resourceVersion":
			field = &c.resourceVersion
		}
		if field != nil {
			if err := c.value(elsewhere); err != nil {
				return false, err
			}
			text := c.out[start:]
			if text[0] != '"' {
				return false, c.errorf("metadata.%s is no string", c.out[m.start+1:m.key-1])
			}
			if *field, err = unquote(text); err != nil {
				return false, err
			}
			return field != &c.resourceVersion, nil
		}
	case confidential:
		if err := c.value(elsewhere); err != nil {
			return false, err
		}
		c.out = appendDigest(c.out[:start], c.digests.of(c.out[start:]))
		return true, nil
	}
	return true, c.value(elsewhere)
}

// appendDigest spells a digest that stands in for a value.
func appendDigest(b, digest []byte) []byte {
	b = append(b, `"hmac-sha256:`...)
	b = hex.AppendEncode(b, digest)
	return append(b, '"')
}

// skip passes over a value without a look at what is in it.
func (c *canonicaliser) skip() error {
	if b, err := c.next(); err != nil {
		return err
	} else if b != '[' && b != '{' {
		start := len(c.out)
		err := c.value(elsewhere)
		c.out = c.out[:start]
		return err
	}
	for depth := 0; c.pos < len(c.in); {
		b := c.in[c.pos]
		c.pos++
		switch b {
		case '"':
			for {
				n := bytes.IndexByte(c.in[c.pos:], '"')
				if n < 0 {
					return errShort
				}
				c.pos += n + 1
				escapes := 0
				for c.in[c.pos-2-escapes] == '\\' {
					escapes++
				}
				if escapes%2 == 0 {
					break
				}
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return nil
			}
		}
	}
	return errShort
}

// plain bytes stand for themselves in a string and need no second look.
var plain = func() (t [256]bool) {
	for b := ' '; b < utf8.RuneSelf; b++ {
		t[b] = b != '"' && b != '\\'
	}
	return t
}()

// str reads a string. Its canonical spelling escapes what must be escaped and nothing else.
func (c *canonicaliser) str() error {
	start := c.pos
	i, wide := start+1, false
	for in := c.in; ; i++ {
		for i < len(in) && plain[in[i]] {
			i++
		}
		if i >= len(in) {
			return errShort
		}
		if b := in[i]; b == '"' {
			break
		} else if b == '\\' {
			return c.escaped(start, i)
		} else if b < ' ' {
			c.pos = i
			return c.errorf("control character %#x in a string", b)
		}
		wide = true
	}
	if wide && !utf8.Valid(c.in[start:i]) {
		return c.errorf("string is not UTF-8")
	}
	c.pos = i + 1
	c.out = append(c.out, c.in[start:c.pos]...)
	return nil
}

// escaped reads the string that starts at start and has its first escape at i.
func (c *canonicaliser) escaped(start, i int) error {
	from := len(c.out)
	c.out = append(c.out, c.in[start:i]...)
	for {
		if i >= len(c.in) {
			return errShort
		}
		b := c.in[i]
		i++
		switch {
		case b == '"':
			c.pos = i
			c.out = append(c.out, '"')
			if !utf8.Valid(c.out[from:]) {
				return c.errorf("string is not UTF-8")
			}
			return nil
		case b < ' ':
			c.pos = i
			return c.errorf("control character %#x in a string", b)
		case b != '\\':
			c.out = append(c.out, b)
			continue
		}
		if i >= len(c.in) {
			return errShort
		}
		b = c.in[i]
		i++
		switch b {
		case '"', '\\', '/':
			c.out = appendRune(c.out, rune(b))
		case 'b':
			c.out = appendRune(c.out, '\b')
		case 'f':
			c.out = appendRune(c.out, '\f')
		case 'n':
			c.out = appendRune(c.out, '\n')
		case 'r':
			c.out = appendRune(c.out, '\r')
		case 't':
			c.out = appendRune(c.out, '\t')
		case 'u':
			r, err := c.hex(i)
			if err != nil {
				return err
			}
			i += 4
			if utf16.IsSurrogate(r) {
				if len(c.in) < i+2 {
					return errShort
				}
				second := rune(utf8.RuneError)
				if c.in[i] == '\\' && c.in[i+1] == 'u' {
					if second, err = c.hex(i + 2); err != nil {
						return err
					}
					i += 6
				}
				if r = utf16.DecodeRune(r, second); r == utf8.RuneError {
					c.pos = i
					return c.errorf("half of a surrogate pair in a string")
				}
			}
			c.out = appendRune(c.out, r)
		default:
			c.pos = i
			return c.errorf("unknown escape \\%c in a string", b)
		}
	}
}

func (c *canonicaliser) hex(i int) (rune, error) {
	if len(c.in) < i+4 {
		return 0, errShort
	}
	n, err := strconv.ParseUint(string(c.in[i:i+4]), 16, 16)
	if err != nil {
		c.pos = i
		return 0, c.errorf("escape \\u%s is not hexadecimal", c.in[i:i+4])
	}
	return rune(n), nil
}

// appendRune spells one character of a string.
func appendRune(b []byte, r rune) []byte {
	switch {
	case r == '"' || r == '\\':
		return append(b, '\\', byte(r))
	case r == '\n':
		return append(b, '\\', 'n')
	case r == '\r':
		return append(b, '\\', 'r')
	case r == '\t':
		return append(b, '\\', 't')
	case r < ' ':
		const digits = "0123456789abcdef"
		return append(b, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
	}
	return utf8.AppendRune(b, r)
}

// appendString spells a string with quotes. Bytes that are no UTF-8 are replaced.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for i := range len(s) {
		if !plain[s[i]] {
			b = append(b, s[:i]...)
			for _, r := range s[i:] {
				b = appendRune(b, r)
			}
			return append(b, '"')
		}
	}
	return append(append(b, s...), '"')
}

// unquote reads a string in canonical spelling.
func unquote(text []byte) (string, error) {
	inner := text[1 : len(text)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return string(inner), nil
	}
	s, err := strconv.Unquote(string(text))
	if err != nil {
		return "", fmt.Errorf("read string %s: %w", text, err)
	}
	return s, nil
}

// maxExponent of a number. Nothing in an API comes near it.
const maxExponent = 1 << 20

// plainDigits is the length up to which a number is spelled without an exponent: that of the largest uint64.
const plainDigits = 20

// number reads a number. 1, 1.0 and 10e-1 are the same one.
func (c *canonicaliser) number() error {
	start, i := c.pos, c.pos
	for i < len(c.in) && numeric[c.in[i]] {
		i++
	}
	text := c.in[start:i]
	if len(text) == 0 {
		return c.errorf("unexpected %q", c.in[start])
	}
	if i == len(c.in) {
		return errShort // the number may go on
	}
	digits := text
	negative := digits[0] == '-'
	if negative {
		digits = digits[1:]
	}
	whole := leadingDigits(digits)
	if whole == 0 || whole > 1 && digits[0] == '0' {
		return c.errorf("number %s is malformed", text)
	}
	if whole == len(digits) && whole <= plainDigits {
		c.pos = i
		if digits[0] == '0' {
			text = digits // there is no negative zero
		}
		c.out = append(c.out, text...)
		return nil
	}
	significand, rest, exponent := slices.Clone(digits[:whole]), digits[whole:], 0
	if len(rest) > 0 && rest[0] == '.' {
		fraction := leadingDigits(rest[1:])
		if fraction == 0 {
			return c.errorf("number %s is malformed", text)
		}
		significand = append(significand, rest[1:1+fraction]...)
		exponent, rest = -fraction, rest[1+fraction:]
	}
	if len(rest) > 0 {
		if rest[0] != 'e' && rest[0] != 'E' {
			return c.errorf("number %s is malformed", text)
		}
		if rest = rest[1:]; len(rest) > 1 && rest[0] == '+' && rest[1] != '-' {
			rest = rest[1:]
		}
		e, err := strconv.Atoi(string(rest))
		if err != nil || e > maxExponent || e < -maxExponent || rest[0] == '+' {
			return c.errorf("number %s is malformed", text)
		}
		exponent += e
	}
	c.pos = i
	significand = bytes.TrimLeft(significand, "0")
	for len(significand) > 0 && significand[len(significand)-1] == '0' {
		significand, exponent = significand[:len(significand)-1], exponent+1
	}
	if len(significand) == 0 {
		c.out = append(c.out, '0')
		return nil
	}
	if negative {
		c.out = append(c.out, '-')
	}
	const zeros = "00000000000000000000"
	switch point := len(significand) + exponent; {
	case exponent >= 0 && point <= plainDigits:
		c.out = append(append(c.out, significand...), zeros[:exponent]...)
	case exponent < 0 && point > 0:
		c.out = append(append(append(c.out, significand[:point]...), '.'), significand[point:]...)
	case exponent < 0 && point > -plainDigits:
		c.out = append(append(append(c.out, "0."...), zeros[:-point]...), significand...)
	default:
		c.out = append(c.out, significand...)
		if exponent != 0 {
			c.out = strconv.AppendInt(append(c.out, 'e'), int64(exponent), 10)
		}
	}
	return nil
}

var numeric = func() (t [256]bool) {
	for _, b := range []byte("0123456789+-.eE") {
		t[b] = true
	}
	return t
}()

func leadingDigits(b []byte) int {
	n := 0
	for n < len(b) && b[n] >= '0' && b[n] <= '9' {
		n++
	}
	return n
}
