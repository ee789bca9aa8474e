package logins

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"filippo.io/age"

	"github.com/coltec/coltec/pkg/hint"
	"github.com/coltec/coltec/pkg/store"
	"github.com/coltec/coltec/pkg/wholefile"
)

// KeyVariable is the variable that the key comes in.
const KeyVariable = "COLTEC_AGE_KEY"

// key opens and closes what is in the bucket.
type key struct {
	identities []age.Identity
	recipient  age.Recipient
	// seals are made of each identity: who knows a recipient alone can encrypt to it, and
	// cannot have written a login.
	seals [][]byte
}

// ErrNoKey says that there is no key to encrypt logins to.
var ErrNoKey = hint.Wrap(errors.New("logins do not travel: "+KeyVariable+" is not set"),
	"give the workspace a key as a secret (age-keygen makes one), or set logins: off")

// parseKey reads lines AGE-SECRET-KEY-1…. The error quotes none of them.
func parseKey(text string) (*key, error) {
	if strings.TrimSpace(text) == "" {
		return nil, ErrNoKey
	}
	unusable := hint.Wrap(fmt.Errorf("cannot use the key in %s: it is not lines AGE-SECRET-KEY-1…", KeyVariable),
		"age-keygen makes one: the secret is its line AGE-SECRET-KEY-1…")
	ids, err := age.ParseIdentities(strings.NewReader(text))
	if err != nil {
		return nil, unusable // age's own words may quote it
	}
	k := &key{identities: ids}
	for _, id := range ids {
		var to age.Recipient
		var secret string
		switch id := id.(type) {
		case *age.X25519Identity:
			to, secret = id.Recipient(), id.String()
		case *age.HybridIdentity:
			to, secret = id.Recipient(), id.String()
		default:
			return nil, unusable
		}
		if k.recipient == nil {
			k.recipient = to
		}
		k.seals = append(k.seals, sealing(secret, "coltec logins"))
	}
	return k, nil
}

func sealing(secret, text string) []byte {
	h := hmac.New(sha256.New, []byte(secret))
	_, _ = io.WriteString(h, text) // never fails
	return h.Sum(nil)
}

// payload is what an object has in it.
type payload struct {
	Format    int    `json:"format"`
	Workspace string `json:"workspace"`
	Agent     string `json:"agent"`
	Nonce     string `json:"nonce"` // of this write
	Host      string `json:"host"`
	version
	Files []file `json:"files"`
}

const payloadFormat = 1

// Errors of an object that cannot be opened. Both are for a person.
var (
	errKey    = errors.New("it is encrypted to another key than the one in " + KeyVariable)
	errForged = store.Impossible("it was not made with the key in %s", KeyVariable)
)

// close encrypts a login. Its first line is a seal over all that follows.
func (k *key) close(body []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := age.Encrypt(&out, k.recipient)
	if err == nil {
		_, err = fmt.Fprintf(w, "%s\n%s", hex.EncodeToString(sealing(string(k.seals[0]), string(body))), body)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot encrypt: %w", err)
	}
	return out.Bytes(), nil
}

// open decrypts a login of a workspace's agent. Whoever can write the bucket may have put
// another one there.
func (k *key) open(object []byte, workspace, agent string) (*payload, error) {
	r, err := age.Decrypt(bytes.NewReader(object), k.identities...)
	if errors.As(err, new(*age.NoIdentityMatchError)) {
		return nil, errKey
	}
	if err != nil {
		return nil, store.Impossible("it is no age file")
	}
	text, err := io.ReadAll(io.LimitReader(r, maxObject+1))
	if err != nil || len(text) > maxObject {
		return nil, store.Impossible("it is not whole")
	}
	seal, body, _ := bytes.Cut(text, []byte("\n"))
	if !k.sealed(string(seal), body) {
		return nil, errForged
	}
	var p payload
	err = wholefile.Unmarshal(body, &p, 1<<10)
	switch {
	case err != nil:
		return nil, store.Impossible("%w", err)
	case p.Format != payloadFormat:
		return nil, fmt.Errorf("format %d is not known to this version of coltecd", p.Format)
	case p.Workspace != workspace || p.Agent != agent:
		return nil, store.Impossible("it is the login of %s in %s", p.Agent, p.Workspace)
	}
	return &p, nil
}

// sealed reports whether a seal is of one of the identities.
func (k *key) sealed(seal string, body []byte) bool {
	got, err := hex.DecodeString(seal)
	for _, by := range k.seals {
		if err == nil && hmac.Equal(got, sealing(string(by), string(body))) {
			return true
		}
	}
	return false
}
