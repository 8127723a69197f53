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
}

// PostResponse is a 200.
type PostResponse struct {
	Body      []byte
	MediaType string // lower case, without parameters
}

// Post makes the request with the bounds of [Client.Get], and follows no
// redirect, not within the origin either: what a form carries goes where it was
// configured to go. Only a 200 is no error. The error is an [*Error].
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
	resp, err := c.http.Do(req)
	if err != nil {
		return PostResponse{}, failed(ctx, r.URL, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return PostResponse{}, refused(resp, r.URL)
	}
	body, mediaType, err := read(ctx, resp, r.URL, r.MaxBytes, r.Type)
	if err != nil {
		return PostResponse{}, err
	}
	return PostResponse{Body: body, MediaType: mediaType}, nil
}
