"""A storm in small, of seconds: workers in threads, an application and one element, all in this process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psycopg
from application import AWAY, CONNECTION_LOST, Application, Scene
from elements import Element
from imgvec_faulty_embedder import FaultyGrid
from workers import NAME, Check, check, queued_keys, wait_until

from imgvec_pg.backfill.context import PipelineOptions
from imgvec_pg.backfill.worker import Worker
from imgvec_pg.database.connect import connect

WORKERS = 2
LEASE_SECONDS = 2.0
SESSIONS = "application_name LIKE 'imgvec worker %' AND datname = current_database()"


def run_squall(scene: Scene, element: Element, *, changes: int = 120, terminations: int = 2) -> list[str]:
    """Run it and return all that is amiss afterwards, a line a kind: nothing, where every promise is kept."""
    element.begin(scene)
    steps = ["change"] * changes + ["disturb"] * element.disturbances + ["terminate"] * terminations
    scene.draw.shuffle(steps)
    application = Application(scene, scene.draw.randrange(10**6))
    with at_work(element.workers_at(scene), scene) as ended:
        for step in steps:
            if step == "change":
                change(application)
            elif step == "terminate":
                end_one(scene)
            else:
                element.disturb(scene)
        element.settle(scene)
        with connect(scene.database) as connection:
            wait_until(
                lambda: queued_keys(connection) == 0 or ended, "an empty queue", element.patience_seconds
            )
    amiss = [f"a worker ended: {error}" for error in ended]
    with connect(scene.database) as connection:
        found = check(connection, scene.root)
    return amiss + told(found, scene, element)


def told(found: Check, scene: Scene, element: Element) -> list[str]:
    """Return what was found, a line a kind."""
    lines = [f"{kind}: rows {sorted(ids)[:8]}" for kind, ids in found.problems.items()]
    lines += [f"{what}: {value}" for what, value in element.left_behind(scene).items()]
    refused = {name: number for name, number in scene.refused.items() if name not in element.refusals}
    return lines + [
        f"the application was refused {number} x {scene.said[name]}" for name, number in refused.items()
    ]


@contextmanager
def at_work(dsn: str, scene: Scene) -> Iterator[list[BaseException]]:
    """Run the workers in threads; give the errors that ended some."""
    options = PipelineOptions(root=scene.root, follow=True, batch_size=16, lease_seconds=LEASE_SECONDS)
    workers = [Worker(dsn, NAME, FaultyGrid(), options) for _ in range(WORKERS)]
    ended: list[BaseException] = []

    def work(worker: Worker) -> None:
        try:
            worker.run()
        except BaseException as error:
            ended.append(error)

    threads = [threading.Thread(target=work, args=[worker]) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        yield ended
    finally:
        for worker in workers:
            worker.request_stop()
        for thread in threads:
            thread.join()


def change(application: Application) -> None:
    """Let the application change something over a connection of its own."""
    try:
        with application.connect() as connection:
            application.change_something(connection)
    except (*CONNECTION_LOST, psycopg.Error) as error:
        application.note(error)


def end_one(scene: Scene) -> None:
    """pg_terminate_backend for one of the workers' sessions."""
    with suppress(*AWAY), connect(scene.database) as connection:
        connection.execute(
            f"SELECT pg_terminate_backend(pid) FROM"
            f" (SELECT pid FROM pg_stat_activity WHERE {SESSIONS} ORDER BY random() LIMIT 1) AS one"
        )
    scene.faults["pg_terminate_backend"] += 1
