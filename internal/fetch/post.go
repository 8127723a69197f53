package fetch

import (
	"context"
	"net/http"
	"net/url"
	"strings"
)

// PostRequest is one POST of a form.
type PostRequest struct {
	URL      string
	Accept   string
	Header   http.Header // credentials, for example; not changed
	Form     url.Values
	MaxBytes int64                       // 0: DefaultMaxBytes
	Type     func(mediaType string) bool // whether the media type of a 200 is acceptable; "" is an absent one
	// Also is a further status that is no error if its body is JSON: 400, with which
	// an OAuth server gives an error code (RFC 6749 §5.2). 0: none.
	Also int
}

// PostResponse is a 200, or the status of PostRequest.Also.
type PostResponse struct {
	Status    int
	Body      []byte
	MediaType string // lower case, without parameters
	Server    Server // who gave it
}

// Post makes the request with the bounds of [Client.Get], and follows no
// redirect, not within the origin either: what a form carries goes where it was
// configured to go. Only a 200, and what Also names, is no error. The error is an [*Error].
func (c *Client) Post(ctx context.Context, r PostRequest) (PostResponse, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.URL, strings.NewReader(r.Form.Encode()))
	if err != nil {
		return PostResponse{}, Fail(Malformed, r.URL, "not a URL")
	}
	if r.Header != nil {
		req.Header = r.Header.Clone()
	}
	req.Header.Set("Accept", r.Accept)
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, server, err := c.do(req)
	if err != nil {
		return PostResponse{}, failed(ctx, r.URL, err)
	}
	defer resp.Body.Close()
	also := resp.StatusCode != http.StatusOK
	if also {
		if r.Also == 0 || resp.StatusCode != r.Also {
			return PostResponse{}, by(server, refused(resp, r.URL))
		}
		r.Type = isJSON
	}
	body, mediaType, err := read(ctx, resp, r.URL, r.MaxBytes, r.Type)
	switch {
	case err != nil && also: // its body says nothing to us: what is left is the status
		return PostResponse{}, by(server, refused(resp, r.URL))
	case err != nil:
		return PostResponse{}, by(server, err)
	}
	return PostResponse{Status: resp.StatusCode, Body: body, MediaType: mediaType, Server: server}, nil
}

func isJSON(mediaType string) bool { return mediaType == "application/json" }
