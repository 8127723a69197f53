package main

import (
	"sync"

	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	_ "google.golang.org/protobuf/types/known/emptypb" // what the service refers to
	_ "google.golang.org/protobuf/types/known/wrapperspb"
)

// protoFile is where the service is described: what reflection shows of it.
const protoFile = "orders/v1/orders.proto"

// described registers the description of [ordersDesc], as generated code does by itself.
var described = sync.OnceValue(func() error {
	method := func(name string, stream bool) *descriptorpb.MethodDescriptorProto {
		return &descriptorpb.MethodDescriptorProto{Name: new(name), InputType: new(".google.protobuf.Empty"),
			OutputType: new(".google.protobuf.StringValue"), ServerStreaming: new(stream)}
	}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{
		Name: new(protoFile), Package: new("orders.v1"), Syntax: new("proto3"),
		Dependency: []string{"google/protobuf/empty.proto", "google/protobuf/wrappers.proto"},
		Service: []*descriptorpb.ServiceDescriptorProto{{Name: new("Orders"),
			Method: []*descriptorpb.MethodDescriptorProto{method("List", false), method("Delete", false), method("Watch", true)}}},
	}, protoregistry.GlobalFiles)
	if err != nil {
		return err
	}
	return protoregistry.GlobalFiles.RegisterFile(file)
})
