%% Queries of qlc, whose comprehensions only the Erlang compiler knows.
-module(door_qlc).
-export([by_key/2, by_a/2, greater/2, all/1, join/2, cursor/2, sorted/1, plan/3]).
-include_lib("stdlib/include/qlc.hrl").

by_key(Table, Key) -> qlc:e(qlc:q([R || R <- Table, element(2, R) =:= Key])).
by_a(Table, A) -> qlc:e(qlc:q([R || R <- Table, element(3, R) =:= A])).
greater(Table, Value) -> qlc:e(qlc:q([{element(2, R), element(4, R)} || R <- Table, element(4, R) > Value])).
all(Table) -> qlc:e(Table).
sorted(Table) -> qlc:e(qlc:q([element(2, R) || R <- Table])).

join(One, Other) ->
    qlc:e(qlc:q([{element(2, A), element(2, B)} || A <- One, B <- Other, element(3, A) =:= element(2, B)])).

%% All answers of a cursor, so many at a time.
cursor(Table, N) ->
    Cursor = qlc:cursor(qlc:q([R || R <- Table])),
    Answers = answers(Cursor, N),
    ok = qlc:delete_cursor(Cursor),
    Answers.

answers(Cursor, N) ->
    case qlc:next_answers(Cursor, N) of
        [] -> [];
        Some -> [Some | answers(Cursor, N)]
    end.

%% How a query by key or by the third element would be answered.
plan(key, Table, Key) -> qlc:info(qlc:q([R || R <- Table, element(2, R) =:= Key]), [{format, string}]);
plan(a, Table, A) -> qlc:info(qlc:q([R || R <- Table, element(3, R) =:= A]), [{format, string}]);
plan(guard, Table, Value) -> qlc:info(qlc:q([R || R <- Table, element(4, R) > Value]), [{format, string}]).
