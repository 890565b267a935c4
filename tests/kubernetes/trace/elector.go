package trace

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
)

// Elector watches the requests of an elector: it says each acknowledged write
// of the lease, and keeps the fencing token of the last.
type Elector struct {
	identity string
	token    atomic.Int64
}

// NewElector watches the elector of a candidate.
func NewElector(identity string) *Elector { return &Elector{identity: identity} }

// Token is the fencing token of the term that the candidate last acquired or
// renewed, 0 before that.
func (e *Elector) Token() int64 { return e.token.Load() }

// Wrap is for rest.Config.Wrap.
func (e *Elector) Wrap(next http.RoundTripper) http.RoundTripper {
	return roundTrip(func(request *http.Request) (*http.Response, error) {
		sent := Now()
		response, err := next.RoundTrip(request)
		if err != nil || !strings.Contains(request.URL.Path, "/leases") ||
			(request.Method != http.MethodPut && request.Method != http.MethodPost) {
			return response, err
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil {
			return nil, err
		}
		response.Body = io.NopCloser(bytes.NewReader(body))
		if response.StatusCode/100 == 2 {
			e.wrote(sent, body)
		}
		return response, nil
	})
}

// wrote is told of an acknowledged write of the lease.
func (e *Elector) wrote(sent int64, body []byte) {
	var lease struct {
		Metadata struct {
			Annotations map[string]string `json:"annotations"`
		} `json:"metadata"`
		Spec struct {
			Holder string `json:"holderIdentity"`
		} `json:"spec"`
	}
	if err := json.Unmarshal(body, &lease); err != nil || lease.Spec.Holder == "" {
		return // given up, or not a server of ours
	}
	token, err := strconv.ParseInt(lease.Metadata.Annotations["helium.dev/fencing-token"], 10, 64)
	if err == nil {
		e.token.Store(token)
	}
	// Some electors have a name of their own.
	Say(Line{Identity: e.identity, Event: Renewed, Leader: lease.Spec.Holder, Token: token, Sent: sent})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(request *http.Request) (*http.Response, error) { return f(request) }
