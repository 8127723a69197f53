package admin

import "net/http"

// Search takes n of the places of those who look through the List, until release is called.
func Search(h http.Handler, n int) (release func()) {
	a := h.(*api)
	for range n {
		select {
		case a.searches <- struct{}{}:
		default:
			panic("somebody has one")
		}
	}
	return func() {
		for range n {
			<-a.searches
		}
	}
}
