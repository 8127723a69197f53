package admin

import "net/http"

// Search takes n of the places of those who look through the List, until release is called.
func Search(h http.Handler, n int) (release func()) {
	a := h.(*api)
	for range n {
		a.searches <- struct{}{}
	}
	return func() {
		for range n {
			<-a.searches
		}
	}
}
