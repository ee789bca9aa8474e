package spec

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/coltec/coltec/pkg/secret"
)

// checkWebhook is the error of an address that nothing is posted to: it has to be https, or http at
// a literal address of this machine, and has no password in it.
func checkWebhook(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return errors.New("must be an address such as https://example.com/hook")
	case u.User != nil:
		return errors.New("has a name or a password before its host: give the secret by secret")
	case u.Fragment != "":
		return errors.New("has a # in it, and what comes behind that is sent to nobody: remove it")
	case u.Scheme == "https":
		return nil
	case u.Scheme != "http":
		return errors.New("must begin with https://")
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err != nil || !ip.IsLoopback() {
		return errors.New("must begin with https://; http:// is for 127.0.0.1 and [::1] alone")
	}
	return nil
}

// Expand gives the address and the key of a webhook, with their variables filled in; without a
// secret the key is empty. The address is checked again: variables may have made it another one.
func (w *Webhook) Expand(lookup Lookup) (address, key secret.Value, err error) {
	x := expansion{lookup: lookup}
	text := strings.TrimSpace(x.text(w.URL)) // a file of secrets may have a line break behind it
	if w.Secret != "" {
		key = x.must(w.Secret)
	}
	if err := missingError(x.missing); err != nil {
		return address, key, err
	}
	if err := checkWebhook(text); err != nil {
		return address, key, fmt.Errorf("webhook.url %w", err)
	}
	return secret.New(text), key, nil
}

// webhook checks the address, as far as it is no variable's, and the name of the key's.
func (c checker) webhook() {
	w := c.s.Webhook
	if w == nil {
		return
	}
	c.template("webhook.url", w.URL)
	if list, err := pieces(w.URL); err == nil && len(list) == 1 && list[0].name == "" {
		if err := checkWebhook(list[0].literal); err != nil {
			c.bad("webhook.url", "%v", err)
		}
	}
	if c.s.src.has("webhook.secret") && !isVariable(w.Secret) {
		c.bad("webhook.secret", "must be the name of an environment variable, never the key itself")
	}
}
