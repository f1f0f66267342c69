"""The guarded database: what it answers, and that nobody does more than read."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from palaestra.envs.database import Answer, Database, Limits, Table

TABLES: dict[str, Table] = {
    "goods": (("name", "price"), [("salt", 3), ("silk", 9), ("tin", 4)]),
    "towns": (("town", "sells"), [("Arlen", "salt"), ("Brack", "silk"), ("Brack", "salt")]),
}
EVERYTHING = [*TABLES["goods"][1]]
LONG = "a" * 900


@pytest.fixture
def database() -> Iterator[Database]:
    with Database(TABLES) as made:
        yield made


def test_a_question_is_answered(database: Database) -> None:
    assert database.query("select max(price) as top from goods") == Answer(("top",), [(9,)], None, False)


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("select town, count(*) from towns join goods on sells = name where price > 3 group by town", [("Brack", 1)]),
        ("with dear(n) as (select name from goods where price > 3) select count(*) from dear", [(2,)]),
        ("with recursive n(i) as (select 1 union all select i + 1 from n where i < 4) select sum(i) from n", [(10,)]),
        ("select name, rank() over (order by price) from goods where price < 5", [("salt", 1), ("tin", 2)]),
        ("select group_concat(name, '-') from goods", [("salt-silk-tin",)]),
        ("select name from sqlite_master order by name", [("goods",), ("towns",)]),
        ("select round(avg(price), 2), upper(name) from goods", [(5.33, "SALT")]),
        ("values (1), (2)", [(1,), (2,)]),
    ],
)
def test_honest_sql_is_permitted(database: Database, sql: str, rows: list[tuple[object, ...]]) -> None:
    answer = database.query(sql)
    assert answer.error is None
    assert answer.rows == rows


def test_values_come_as_plain_data(database: Database) -> None:
    assert database.query("select 9e999, -9e999, x'00ff', cast(x'ff' as text), null").rows == [
        ("inf", "-inf", "x'00ff'", "\N{REPLACEMENT CHARACTER}", None)
    ]


def test_rows_beyond_the_limit_are_cut(database: Database) -> None:
    many = "select 1 from goods a, goods b, goods c, goods d, goods e"
    assert len(database.query(f"{many} limit 50").rows) == 50
    assert not database.query(f"{many} limit 50").truncated
    assert database.query(many).truncated and len(database.query(many).rows) == 50


@pytest.mark.parametrize(
    "sql",
    [
        "insert into goods values ('gold', 1)",
        "update goods set price = 0",
        "delete from goods",
        "replace into goods values ('gold', 1)",
        "drop table goods",
        "alter table goods rename to bads",
        "create table mine (a)",
        "create temp table mine (a)",
        "create view mine as select 1",
        "create trigger t after insert on goods begin select 1; end",
        "create virtual table f using fts5(a)",
        "create index i on goods (name)",
        "select 1; drop table goods",
        "with x as (select 1) delete from goods",
        "update sqlite_master set sql = 'create table goods (name)'",
        "insert into sqlite_master values ('table', 'x', 'x', 3, 'create table x (a)')",
        "delete from sqlite_master",
        "pragma writable_schema = on",
        "pragma query_only = off",
        "pragma table_info(goods)",
        "select * from pragma_table_info('goods')",
        "select * from pragma_database_list",
        "analyze",
        "vacuum",
        "begin",
        "commit",
        "savepoint s",
        "explain delete from goods",
    ],
)
def test_nothing_is_changed_and_no_pragma_is_read(database: Database, sql: str) -> None:
    assert database.query(sql).error
    assert database.query("select * from goods").rows == EVERYTHING
    assert database.query("select count(*) from sqlite_master").rows == [(2,)]


@pytest.mark.parametrize(
    "sql",
    ["attach '{path}' as other", "attach ':memory:' as other", "vacuum into '{path}'", "detach main"],
)
def test_no_other_database_is_reached(database: Database, sql: str, tmp_path: Path) -> None:
    assert database.query(sql.format(path=tmp_path / "other.db")).error
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    "call",
    [
        "load_extension('/lib/x86_64-linux-gnu/libc.so.6')",
        "readfile('/etc/passwd')",
        "writefile('/tmp/x', 'y')",
        "fts3_tokenizer('simple')",
        "sqlite_version()",
        "last_insert_rowid()",
        "random()",
        "hex(randomblob(8))",
        "current_timestamp",
        "date('now')",
        "strftime('%s', 'now')",
        "zeroblob(1000000000)",
        "printf('%.*c', 1000000000, 'x')",
        "char(1, 2)",
    ],
)
def test_functions_that_reach_out_or_depend_on_chance_are_refused(database: Database, call: str) -> None:
    assert database.query(f"select {call}").error


@pytest.mark.parametrize("table", ["json_each('[1]')", "dbstat", "sqlite_dbpage", "generate_series(1, 9)", "fts5vocab"])
def test_virtual_tables_are_refused(database: Database, table: str) -> None:
    assert database.query(f"select * from {table}").error
    assert database.query(f"select count(*) from {table}").error


ENDLESS = "with recursive t(x) as (select {first} union {all} select {step} from t) select {what}"


@pytest.mark.parametrize(
    "sql",
    [
        ENDLESS.format(first="1", all="all", step="x + 1", what="count(*) from t"),
        ENDLESS.format(first="1", all="", step="x + 1", what="max(x) from t"),
        ENDLESS.format(first=f"'{LONG}'", all="all", step="x", what="x from t order by x"),
        ENDLESS.format(first=f"'{LONG}'", all="all", step="x", what="sum(x like '" + "%a_" * 15 + "b') from t"),
        ENDLESS.format(first=f"'{LONG}'", all="all", step="x", what="sum(instr(x, x || 'b')) from t"),
        "select count(*) from " + ", ".join(f"goods g{i}" for i in range(30)),
        "with t0(x) as (select 1), "
        + ", ".join(f"t{i}(x) as (select t{i - 1}.x from t{i - 1}, t{i - 1} u)" for i in range(1, 30))
        + " select count(*) from t29",
        "with t0(x) as (values (1)), "
        + ", ".join(f"t{i}(x) as (select 1 in t{i - 1} or 2 in t{i - 1})" for i in range(1, 30))
        + " select * from t29",
    ],
)
def test_work_without_end_is_stopped_soon(database: Database, sql: str) -> None:
    began = time.process_time()
    assert database.query(sql).error == "too much work"
    assert time.process_time() - began < 2
    assert database.query("select count(*) from goods").rows == [(3,)]


@pytest.mark.parametrize(
    "sql",
    [
        f"select '{LONG}' || '{LONG}'",
        f"select hex('{LONG}')",
        f"select replace('aa', 'a', '{LONG}')",
        "with recursive t(x) as (select 'a' union all select x || x from t) select max(length(x)) from t",
        f"with t(x) as (select '{LONG}') select group_concat(x) from t, goods",
    ],
)
def test_no_value_grows_large(database: Database, sql: str) -> None:
    assert database.query(sql).error == "string or blob too big"


@pytest.mark.parametrize(
    "sql",
    [
        "",
        " ",
        "-- nothing",
        "select",
        "select \x00",
        "select '\ud800'",
        "(" * 500,
        "select " + "(" * 200 + "1" + ")" * 200,
        "select 1" + " " * 2000,
        "select * from nowhere",
        "select nothing from goods",
        "[",
        "'",
        "select 1 +" + "+" * 300,
    ],
)
def test_nonsense_is_answered_with_an_error(database: Database, sql: str) -> None:
    answer = database.query(sql)
    assert answer.error and not answer.rows


def test_common_table_expressions_of_a_usual_size_are_no_attack(database: Database) -> None:
    sql = (
        "with a as (select name, price from goods), b as (select town, sells from towns), "
        "c as (select b.town, sum(a.price) as total from b join a on a.name = b.sells group by b.town) "
        "select c.town, c.total from c join b on b.town = c.town where c.total > (select avg(total) from c) group by 1"
    )
    assert database.query(sql).rows == [("Brack", 12)]


def test_limits_are_parameters() -> None:
    with Database(TABLES, Limits(rows=1, instructions=2000)) as small:
        assert small.query("select * from goods").truncated
        assert small.query("select count(*) from goods a, goods b, goods c, goods d, goods e, goods f, goods").error
