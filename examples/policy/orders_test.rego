package orders_test

import data.orders

alice := {
	"token": {"tenant": "acme", "roles": ["refunder"], "actors": []},
	"route": {"method": "POST", "pattern": "POST /orders/{tenant}/{id}/refund", "values": {"tenant": "acme", "id": "7"}},
	"device": {"posture": "managed"},
}

test_refund if orders.decision == {"allow": true} with input as alice

test_no_role if {
	not orders.decision.allow with input as json.patch(alice, [{"op": "replace", "path": "/token/roles", "value": []}])
}

test_another_tenant if {
	orders.decision.reason == "another tenant" with input as json.patch(alice, [{"op": "replace", "path": "/route/values/tenant", "value": "other"}])
}

test_forgotten_tenant if {
	contains(orders.decision.reason, "the route tells no tenant") with input as json.patch(alice, [{"op": "remove", "path": "/route/values/tenant"}])
}

test_reported_device if {
	contains(orders.decision.reason, "the device was reported") with input as json.patch(alice, [{"op": "replace", "path": "/device/posture", "value": "reported"}])
}

test_nothing_known if orders.decision == {"allow": false, "reason": "nothing allows it"} with input as {}
