package scope_test

import (
	"fmt"

	"github.com/bearergate/bearergate/scope"
)

func ExampleParse() {
	granted, err := scope.Parse("orders:read orders:write orders:read")
	fmt.Println(granted.Names(), granted.Has("orders:write"), err)

	_, err = scope.Parse("orders:read  orders:write") // two spaces
	fmt.Println(err != nil)
	// Output:
	// [orders:read orders:write] true <nil>
	// true
}

func ExampleAny() {
	need := scope.Any("orders:read", "orders:admin")
	fmt.Println(need.SatisfiedBy(scope.Of("orders:admin")))
	fmt.Println(need.SatisfiedBy(scope.Of("orders:Admin"))) // compared byte for byte
	// Output:
	// true
	// false
}

func ExampleAllOf() {
	staff := scope.Any("staff", "admin")
	need := scope.AllOf(staff, scope.All("orders:refund"))
	fmt.Println(need)
	fmt.Println(need.SatisfiedBy(scope.Of("staff", "orders:refund")))
	fmt.Println(need.SatisfiedBy(scope.Of("admin")))
	// Output:
	// (staff or admin) and orders:refund
	// true
	// false
}

// A requirement that was built wrongly is satisfied by nothing, and says why.
func ExampleRequirement_Err() {
	need := scope.All("orders:read orders:write") // meant as two names
	fmt.Println(need.Err() != nil, need.SatisfiedBy(scope.Of("orders:read", "orders:write")))

	var nothing scope.Requirement // only the zero value requires nothing
	fmt.Println(nothing.Err(), nothing.SatisfiedBy(scope.Of()))
	// Output:
	// true false
	// <nil> true
}
