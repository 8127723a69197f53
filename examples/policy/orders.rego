# Who may do what with orders. The gate has verified the token and its scopes before
# anybody asks here. What is not allowed below is denied; a rule that cannot be evaluated
# leaves "decision" undefined or is an error, and both are outages for the gate.
package orders

default decision := {"allow": false, "reason": "nothing allows it"}

decision := {"allow": false, "reason": concat("; ", denials)} if {
	count(denials) > 0
} else := {"allow": true} if {
	allowed
}

# Reading and paying, by route. The pattern of the route is compared, never its path.
allowed if {
	input.route.method == "GET"
	input.route.pattern == "GET /orders/{tenant}/{id}"
}

allowed if {
	input.route.pattern == "POST /orders/{tenant}/{id}/refund"
	"refunder" in input.token.roles
}

allowed if input.route.pattern == "/orders.v1.Orders/Watch"

# An order belongs to a tenant. A token without one has no orders, and a route that
# forgets to say which one it is about is closed: what is undefined denies nothing.
denials contains "the route tells no tenant" if {
	contains(input.route.pattern, "{tenant}")
	not input.route.values.tenant
}

denials contains "another tenant" if {
	input.route.values.tenant != input.token.tenant
}

denials contains "no tenant" if {
	input.token.tenant == ""
}

# A service may act for a user if it is named here, and only for reading. More than one
# actor is a chain that nobody agreed to.
denials contains "an actor that is not allowed" if {
	some actor in input.token.actors
	not actor.subject in {"support-desk"}
}

# An actor without an issuer is one of the token's issuer. The name means nothing at another.
denials contains "an actor of another issuer" if {
	some actor in input.token.actors
	not actor.issuer in {"", input.token.issuer}
}

denials contains "a chain of actors" if {
	count(input.token.actors) > 1
}

denials contains "an actor may only read" if {
	count(input.token.actors) > 0
	input.route.method != "GET"
}

# What the inventory knows of the device. Refunds need one that is managed.
denials contains "the device was reported" if {
	input.device.posture == "reported"
}

denials contains "the device is not managed" if {
	input.route.pattern == "POST /orders/{tenant}/{id}/refund"
	input.device.posture != "managed"
}
