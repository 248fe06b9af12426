"""A key of an array type over shards: answers of one row hold arrays, and there are no arrays of arrays."""

from fresh_databases import Server, fresh_database
from photostore import make_collection

from imgvec_pg.cli.exit_codes import run
from imgvec_pg.cli.main import cli
from imgvec_pg.database.connect import connect


def test_keys_of_different_lengths_come_as_they_are(server: Server, template: str) -> None:
    with fresh_database(server, template) as here, fresh_database(server, template) as there:
        with connect(there) as shard:
            shard.execute("CREATE SCHEMA shop; CREATE TABLE shop.photo (id int[] PRIMARY KEY, file text)")
            shard.execute("INSERT INTO shop.photo VALUES ('{1,2}', 'x'), ('{3}', 'y')")
            make_collection(shard)
            shard.execute(
                "INSERT INTO imgvec.photo_test_embedding (id, embedding, version, content_hash, precision)"
                " VALUES ('{1,2}', '[1,0,0]', 1, '', 'fp32'), ('{3}', '[0,1,0]', 1, '', 'fp32')"
            )
        for words in (("add", "one", "--at", there), ("span", "photo_test", "--shards", "one")):
            assert run(cli, ["shard", *words, "--dsn", here]) == 0
        with connect(here) as coordinator:
            found = coordinator.execute("SELECT id FROM imgvec.search_photo_test('[1,0,0]', 5)").fetchall()
            assert found == [([1, 2],), ([3],)]
