package main

import (
	"fmt"
	"go/ast"
	"go/types"
	"strings"

	"golang.org/x/tools/go/packages"
)

// walk is what the functions that one of them reaches do, by calls that the type checker
// can name: those by an interface or a function value are not followed.
type walk struct {
	rooms map[string]bool // that are entered
	calls map[string]bool // functions of the replica's room that the engine calls
}

// reach follows the calls of a function.
func (h *house) reach(from *types.Func) walk {
	w := walk{map[string]bool{}, map[string]bool{}}
	seen := map[*types.Func]bool{}
	todo := []*types.Func{from}
	for len(todo) > 0 {
		fn := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		b, ours := h.bodies[fn]
		if seen[fn] || !ours {
			continue
		}
		seen[fn] = true
		w.rooms[h.name(b.room)] = true
		ast.Inspect(b.decl.Body, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			to := callee(b.room, call)
			if to == nil {
				return true
			}
			if h.name(b.room) == "engine" && to.Pkg() != nil && strings.HasSuffix(to.Pkg().Path(), "/pkg/replica") {
				w.calls[to.FullName()] = true
			}
			todo = append(todo, to)
			return true
		})
	}
	return w
}

// callee is the function that a call names; nil: none that is known.
func callee(p *packages.Package, call *ast.CallExpr) *types.Func {
	switch fun := ast.Unparen(call.Fun).(type) {
	case *ast.Ident:
		fn, _ := p.TypesInfo.Uses[fun].(*types.Func)
		return origin(fn)
	case *ast.SelectorExpr:
		fn, _ := p.TypesInfo.Uses[fun.Sel].(*types.Func)
		return origin(fn)
	}
	return nil
}

func origin(fn *types.Func) *types.Func {
	if fn == nil {
		return nil
	}
	return fn.Origin()
}

// find finds a method by its room, type and name.
func (h *house) find(room, typ, name string) (*types.Func, error) {
	for fn, b := range h.bodies {
		if h.name(b.room) == room && fn.Name() == name && receiver(b.decl) == typ {
			return fn, nil
		}
	}
	return nil, fmt.Errorf("there is no %s.%s.%s", room, typ, name)
}
