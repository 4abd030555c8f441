"""One contestant in a process of its own: `worker.py MODULE NAME DEVICE`, requests as JSON lines on
stdin, answers on stdout. Libraries that write to stdout write to stderr instead.

prepare  size as keywords      compiles, allocates, starts anew
run      units                 advances all replicas; answers the seconds, the device's work included
save     file                  writes the result that the driver checks
"""
import importlib
import json
import os
import sys
import time


def main():
    module, name, device = sys.argv[1:4]
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**content):
        out.write(json.dumps(content) + "\n")
        out.flush()

    try:
        contestant = importlib.import_module(module).CONTESTANTS[name](device)
        answer(ok=True, version=contestant.version)
    except ImportError as error:
        answer(ok=False, absent=str(error).splitlines()[0])
        return
    except Exception as error:  # of any kind: the driver records it and goes on
        answer(ok=False, error=f"{type(error).__name__}: {error}"[:400])
        return
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "prepare":
                contestant.prepare(**request["size"])
                answer(ok=True, note=getattr(contestant, "note", ""), replicas=getattr(contestant, "replicas", 1),
                       constraints=getattr(contestant, "constraints", "h_bonds"))
            elif request["do"] == "run":
                start = time.perf_counter()
                contestant.run(request["units"])
                contestant.synchronize()
                answer(ok=True, seconds=time.perf_counter() - start)
            else:
                contestant.save(request["file"])
                answer(ok=True)
        except NotImplementedError as error:
            answer(ok=False, error=str(error))
        except Exception as error:
            answer(ok=False, error=f"{type(error).__name__}: {error}"[:400])


if __name__ == "__main__":
    main()
