package grpcweb

import (
	"net/http"
	"strings"

	"connectrpc.com/vanguard/vanguardgrpc"
	"google.golang.org/grpc"
)

// Browsers returns the services of a server of gRPC for clients of gRPC-Web and of Connect, as
// connectrpc.com/vanguard translates them. Generated code has to have registered what describes
// the services.
//
// Behind a CORS handler: see [ExposedHeaders].
func Browsers(server *grpc.Server) (http.Handler, error) {
	transcoder, err := vanguardgrpc.NewTranscoder(server)
	if err != nil {
		return nil, err
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		transcoder.ServeHTTP(&answer{ResponseWriter: w}, r)
	}), nil
}

// answer has what the gate says in the trailers of a refusal where HTTP has it: for a unary call
// of Connect it comes as Trailer-Www-Authenticate. gRPC-Web has it in the header already.
type answer struct{ http.ResponseWriter }

func (w *answer) WriteHeader(status int) {
	for key, values := range w.Header() { // in whatever case
		for _, name := range passedOn {
			if status >= http.StatusBadRequest && strings.EqualFold(key, "Trailer-"+name) {
				w.Header()[http.CanonicalHeaderKey(name)] = values
				delete(w.Header(), key)
			}
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

// Flush is for streams.
func (w *answer) Flush() { _ = http.NewResponseController(w.ResponseWriter).Flush() }

// Unwrap is for http.ResponseController.
func (w *answer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// ExposedHeaders are what a CORS handler has to say in Access-Control-Expose-Headers, or scripts
// of another origin cannot read why they were refused.
var ExposedHeaders = []string{"Grpc-Status", "Grpc-Message", "Grpc-Status-Details-Bin", "WWW-Authenticate", "Retry-After", "DPoP-Nonce"}
