"""The process that starts tasks: it has imported what they need, and forks one child for each.

It runs in the interpreter of a task's environment, which need not have Trainwright: nothing but the standard
library is imported here, and only by relative imports, as this folder is found by its path. It serves one
Unix stream socket on which both sides write messages, each a JSON object after its length (4 bytes, big
endian):

    in   {"configure": {"profile", "gcs_root", "show_gcs": bool, "excluded": [module, ...]}}   first, once
         {"preload": [distribution, ...]}
         {"start": {"id", "argv" | ("component" | "launcher", "arguments", "executable", "packages"),
                    "environment", "directory", "log"}}
         {"terminate": id, "grace": seconds}
    out  {"ready": true, "gcs": bool, "unsafe": module | null}                       answers configure
         {"ready": false}                            so does this, when /gcs could be shown by halves only
         {"preloaded": true, "unsafe": module | null}                                answers preload
         {"started": id, "pid"}  and later  {"exited": id, "code"}                   code: minus the signal,
         if any

`unsafe` is a module that starts threads when it is imported; a server that has it must not be asked to fork.

One thread, no lock, no gRPC channel: a fork copies only the forking thread, so any lock that another one
holds would stay locked in the child for ever.

Nothing survives its owner. A child is killed when this process dies (PR_SET_PDEATHSIG). When the other end of
the socket closes, which the kernel does at kill -9 as well, this process kills every group that it started
and every orphan that it has adopted (PR_SET_CHILD_SUBREAPER), and ends. It asks for no PR_SET_PDEATHSIG of
its own: that signal comes when the *thread* that started it ends, and would leave no time to kill the
others.
"""
