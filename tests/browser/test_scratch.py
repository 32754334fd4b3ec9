import os

from tests.browser.test_walk import ROUNDS, WIDE, buttons, faces, looked_at, tried


def test_x(site, live_server):
    only = os.environ["ONLY"].split(",")
    visits = tuple(v for r in ROUNDS.values() for v in r if any(v.name.startswith(o) for o in only))
    with open("/tmp/h/out.txt", "w") as out:
        for visit, page in faces(live_server, site, visits, viewport=WIDE):
            for each in tried(looked_at, page, visit, site):
                out.write(f"{visit.name}: {each}\n")
                out.flush()
            if visit.is_ours and buttons.on(page) - buttons.PRESSED:
                out.write(f"{visit.name}: UNPRESSED {buttons.on(page) - buttons.PRESSED}\n")
