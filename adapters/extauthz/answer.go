package extauthzgate

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/bearergate/bearergate"
	"github.com/bearergate/bearergate/middleware"
)

// The bounds of dynamic metadata.
const (
	// MaxMetadataBytes is the longest text.
	MaxMetadataBytes = 1024
	// MaxMetadataScopes is the longest list of scopes.
	MaxMetadataScopes = 100
)

// respond writes advice as Envoy reads it.
func respond(a middleware.Advice) *authv3.CheckResponse {
	res := &authv3.CheckResponse{DynamicMetadata: metadata(a)}
	if a.Status == http.StatusOK {
		res.Status = &rpcstatus.Status{Code: int32(codes.OK)}
		res.HttpResponse = &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{
			Headers: ones(a.Set), HeadersToRemove: a.Remove, ResponseHeadersToAdd: options(a.Header),
		}}
		return res
	}
	code := codes.PermissionDenied
	if a.Status == http.StatusUnauthorized {
		code = codes.Unauthenticated
	}
	res.Status = &rpcstatus.Status{Code: int32(code)}
	res.HttpResponse = &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
		Status:  &typev3.HttpStatus{Code: typev3.StatusCode(a.Status)},
		Headers: options(a.Header),
		Body:    strings.ToValidUTF8(string(a.Body), "\uFFFD"),
	}}
	return res
}

// ones are headers that replace all of the same name, in order.
func ones(headers map[string]string) []*corev3.HeaderValueOption {
	header := http.Header{}
	for name, value := range headers {
		header[name] = []string{value}
	}
	return options(header)
}

// options are header fields for Envoy, in order. The first of a name replaces what is there, and
// the next ones are added: append_action says so. Older versions do not read it in a denied
// answer, and take all fields there, and they replace in a request, both unless append is set.
// So it is not. Cache-Control alone leaves the service the word, as it does in the middleware;
// in a denied answer there is no other.
func options(header http.Header) (all []*corev3.HeaderValueOption) {
	for _, name := range slices.Sorted(maps.Keys(header)) {
		action := corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
		if name == "Cache-Control" {
			action = corev3.HeaderValueOption_ADD_IF_ABSENT
		}
		for _, value := range header[name] {
			all = append(all, &corev3.HeaderValueOption{
				Header:       &corev3.HeaderValue{Key: strings.ToLower(name), Value: strings.ToValidUTF8(value, "?")},
				AppendAction: action,
			})
			action = corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD
		}
	}
	return all
}

// metadata is what the package comment lists.
func metadata(a middleware.Advice) *structpb.Struct {
	fields := map[string]*structpb.Value{"status": structpb.NewNumberValue(float64(a.Status))}
	say := func(name, value string) {
		if value != "" && len(value) <= MaxMetadataBytes && utf8.ValidString(value) {
			fields[name] = structpb.NewStringValue(value)
		}
	}
	say("route", a.Decision.Pattern)
	say("access", string(a.Decision.Access))
	if a.Status != http.StatusOK {
		say("decision", "denied")
		if a.Decision.Err != nil {
			say("reason", string(bearergate.ReasonOf(a.Decision.Err)))
		}
		return &structpb.Struct{Fields: fields}
	}
	say("decision", "allowed")
	t := a.Decision.Token
	if t == nil {
		return &structpb.Struct{Fields: fields}
	}
	say("issuer", t.Issuer())
	say("subject", t.Subject())
	say("client_id", t.ClientID())
	say("tenant", t.Tenant())
	scopes := t.Scopes().Names()
	if len(scopes) > MaxMetadataScopes {
		return &structpb.Struct{Fields: fields}
	}
	list := &structpb.ListValue{}
	for _, s := range scopes {
		if len(s) > MaxMetadataBytes || !utf8.ValidString(s) {
			return &structpb.Struct{Fields: fields}
		}
		list.Values = append(list.Values, structpb.NewStringValue(s))
	}
	fields["scopes"] = structpb.NewListValue(list)
	return &structpb.Struct{Fields: fields}
}
