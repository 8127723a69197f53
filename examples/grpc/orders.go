package main

import (
	"context"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/bearergate/bearergate"
)

// orders is what a handler does with a token: it finds it in its context.
func orders(ctx context.Context) *wrapperspb.StringValue {
	token, ok := bearergate.FromContext(ctx)
	if !ok {
		return wrapperspb.String("orders of nobody")
	}
	return wrapperspb.String("orders of " + token.Subject())
}

// ordersDesc is what protoc would generate for
//
//	service Orders {
//	  rpc List(google.protobuf.Empty) returns (google.protobuf.StringValue);
//	  rpc Watch(google.protobuf.Empty) returns (stream google.protobuf.StringValue);
//	  rpc Delete(google.protobuf.Empty) returns (google.protobuf.StringValue);
//	}
var ordersDesc = grpc.ServiceDesc{
	ServiceName: "orders.v1.Orders",
	Metadata:    protoFile,
	Methods:     []grpc.MethodDesc{unaryMethod("List"), unaryMethod("Delete")},
	Streams: []grpc.StreamDesc{{StreamName: "Watch", ServerStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
		if err := s.RecvMsg(new(emptypb.Empty)); err != nil {
			return err
		}
		return s.SendMsg(orders(s.Context()))
	}}},
}

func unaryMethod(name string) grpc.MethodDesc {
	return grpc.MethodDesc{MethodName: name, Handler: func(srv any, ctx context.Context, decode func(any) error, interceptor grpc.UnaryServerInterceptor) (any, error) {
		req := new(emptypb.Empty)
		if err := decode(req); err != nil {
			return nil, err
		}
		handler := func(ctx context.Context, _ any) (any, error) { return orders(ctx), nil }
		if interceptor == nil {
			return handler(ctx, req)
		}
		return interceptor(ctx, req, &grpc.UnaryServerInfo{Server: srv, FullMethod: "/orders.v1.Orders/" + name}, handler)
	}}
}
