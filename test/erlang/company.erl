%% A program as one writes it for Mnesia: records, transactions, indexes, queries, events, schema changes. DB is the module it calls.
-module(company).
-export([run/0]).
-include_lib("stdlib/include/qlc.hrl").

-record(employee, {no, name, salary, dept}).
-record(dept, {id, name}).
-record(project, {name, number}).
-record(in_proj, {emp, proj_name}).

run() ->
    ok = ?DB:start(),
    create(),
    fill(),
    out("raised", raise(104732, 2.0)),
    out("raised", raise(104733, 1.1)),
    out("nobody", raise(1, 2.0)),
    out("women over 3", [E#employee.name || E <- dept_of('B/SF')]),
    out("in", lists:sort(projects_of(104732))),
    out("salaries", ?DB:transaction(fun() -> ?DB:foldl(fun(E, Sum) -> E#employee.salary + Sum end, 0, employee) end)),
    out("join", query()),
    out("select", ?DB:dirty_select(employee, [{#employee{name = '$1', salary = '$2', _ = '_'}, [{'>', '$2', 6}], ['$1']}])),
    events(),
    counters(),
    nested(),
    out("order", ordered()),
    evolve(),
    fragments(),
    kinds(),
    locks(),
    continuations(),
    info(),
    errors(),
    out("size", [?DB:table_info(T, size) || T <- [employee, dept, project, in_proj, counter, sequence]]),
    out("tables", lists:sort([T || T <- ?DB:system_info(tables), T =/= schema, lists:member(T, mine())])),
    [{atomic, ok} = ?DB:delete_table(T) || T <- mine()],
    out("gone", catch ?DB:dirty_read(employee, 1)),
    ok.

mine() -> [employee, dept, project, in_proj, counter, sequence].

out(What, Term) -> io:format("~s: ~tp~n", [What, Term]).

create() ->
    Create = fun(T, Options) -> out("create", ?DB:create_table(T, Options)) end,
    Create(employee, [{attributes, record_info(fields, employee)}, {index, [dept]}]),
    Create(dept, [{attributes, record_info(fields, dept)}]),
    Create(project, [{attributes, record_info(fields, project)}]),
    Create(in_proj, [{type, bag}, {attributes, record_info(fields, in_proj)}]),
    Create(counter, []),
    Create(sequence, [{type, ordered_set}, {record_name, entry}]),
    out("again", ?DB:create_table(dept, [])),
    out("wait", ?DB:wait_for_tables(mine(), 1000)).

fill() ->
    Employees = [{104465, "Johnson Torbjorn", 1, 'B/SF'}, {107912, "Carlsson Tuula", 2, 'B/SF'}, {114872, "Dacker Bjarne", 3, 'B/SFR'},
                 {104531, "Nilsson Hans", 3, 'B/SFH'}, {104659, "Tornkvist Torbjorn", 2, 'B/SF'}, {104732, "Wikstrom Claes", 2, 'B/SF'},
                 {117716, "Fedoriw Anna", 1, 'B/SFR'}, {115018, "Mattsson Hakan", 3, 'B/SFH'}],
    {atomic, ok} = ?DB:transaction(fun() ->
        lists:foreach(fun({No, Name, Salary, Dept}) ->
            ?DB:write(#employee{no = No, name = Name, salary = Salary, dept = Dept})
        end, Employees),
        [?DB:write(#dept{id = Id, name = Name}) || {Id, Name} <- [{'B/SF', "Computing"}, {'B/SFH', "Hardware"}, {'B/SFR', "Research"}]],
        [?DB:write(#in_proj{emp = E, proj_name = P}) || {E, P} <- [{104732, erlang}, {104732, otp}, {104732, beam}, {115018, otp}]],
        [?DB:write(sequence, {entry, N, N * N}, write) || N <- lists:seq(1, 20)],
        ok
    end).

raise(No, Factor) ->
    ?DB:transaction(fun() ->
        case ?DB:wread({employee, No}) of
            [E] ->
                Salary = E#employee.salary * Factor,
                ?DB:write(E#employee{salary = Salary}),
                Salary;
            [] ->
                ?DB:abort({no_employee, No})
        end
    end).

dept_of(Dept) ->
    {atomic, Found} = ?DB:transaction(fun() -> ?DB:index_read(employee, Dept, #employee.dept) end),
    lists:keysort(#employee.no, Found).

projects_of(No) ->
    ?DB:activity(async_dirty, fun() -> [P || #in_proj{proj_name = P} <- ?DB:read(in_proj, No)] end).

query() ->
    {atomic, Answer} = ?DB:transaction(fun() ->
        ?DB:write(#employee{no = 1, name = "New One", salary = 9, dept = 'B/SFR'}),
        qlc:e(qlc:sort(qlc:q([{D#dept.name, E#employee.name} || D <- ?DB:table(dept), E <- ?DB:table(employee),
                                                               D#dept.id =:= E#employee.dept, E#employee.salary > 2])))
    end),
    Answer.

events() ->
    {ok, _} = ?DB:subscribe({table, employee, detailed}),
    {atomic, ok} = ?DB:transaction(fun() -> ?DB:delete({employee, 1}) end),
    {aborted, no} = ?DB:transaction(fun() -> ?DB:delete({employee, 104465}), ?DB:abort(no) end),
    ok = ?DB:dirty_write(#employee{no = 2, name = "Dirty", salary = 0, dept = none}),
    {ok, _} = ?DB:unsubscribe({table, employee, detailed}),
    ok = ?DB:dirty_delete({employee, 2}),
    [receive {mnesia_table_event, {Op, T, R, Old, {Kind, _}}} -> out("event", {Op, T, R, Old, Kind});
             {mnesia_table_event, {Op, T, R, Old, {Kind, _, _}}} -> out("event", {Op, T, R, Old, Kind})
     after 1000 -> out("event", none) end || _ <- [1, 2]],
    out("no more", receive {mnesia_table_event, E} -> E after 0 -> none end).

counters() ->
    out("counter", [?DB:dirty_update_counter(counter, hits, N) || N <- [5, -2, -10, 1]]),
    out("counter", ?DB:dirty_read({counter, hits})).

nested() ->
    Outer = ?DB:transaction(fun() ->
        ?DB:write({counter, a, 1}),
        Inner = ?DB:transaction(fun() -> ?DB:write({counter, a, 2}), ?DB:write({counter, b, 2}), throw(up) end),
        {Inner, ?DB:read({counter, a}), ?DB:read({counter, b}), ?DB:is_transaction()}
    end),
    out("nested", Outer),
    out("kept", lists:sort(?DB:dirty_match_object({counter, '_', 1}))).

ordered() ->
    {atomic, Keys} = ?DB:transaction(fun() ->
        ?DB:write(sequence, {entry, 2.5, half}, write),
        {?DB:first(sequence), ?DB:next(sequence, 2), ?DB:next(sequence, 2.5), ?DB:prev(sequence, 4), ?DB:last(sequence),
         ?DB:foldr(fun({entry, K, _}, Acc) when K < 5 -> [K | Acc]; (_, Acc) -> Acc end, [], sequence),
         chunks(?DB:select(sequence, [{{entry, '$1', '_'}, [{'<', '$1', 6}], ['$_']}], 2, read))}
    end),
    Keys.

chunks('$end_of_table') -> [];
chunks({Found, Cont}) -> Found ++ chunks(?DB:select(Cont)).

evolve() ->
    out("index", ?DB:add_table_index(employee, name)),
    out("by name", ?DB:dirty_index_read(employee, "Nilsson Hans", name)),
    out("drop", ?DB:del_table_index(employee, name)),
    out("transform", ?DB:transform_table(dept, fun({dept, Id, Name}) -> {department, Id, Name, length(Name)} end, [id, name, length], department)),
    out("record", ?DB:dirty_read(dept, 'B/SF')),
    out("attributes", ?DB:table_info(dept, attributes)),
    out("read only", [?DB:change_table_access_mode(project, read_only), ?DB:transaction(fun() -> ?DB:write(#project{}) end)]),
    out("read only", ?DB:change_table_access_mode(project, read_write)),
    out("property", [?DB:write_table_property(project, {owner, "me"}), ?DB:read_table_property(project, owner)]),
    out("clear", ?DB:clear_table(in_proj)).

%% A fragmented table, through the access module that makes one of the fragments.
fragments() ->
    Props = [{n_fragments, 3}, {node_pool, [node()]}],
    out("create", ?DB:create_table(visit, [{frag_properties, Props}, {attributes, [no, who]}, {index, [who]}])),
    In = fun(F) -> ?DB:activity(transaction, F, [], mnesia_frag) end,
    In(fun() -> [?DB:write({visit, N, N rem 3}) || N <- lists:seq(1, 60)] end),
    Seen = fun() -> In(fun() -> [?DB:table_info(visit, I) || I <- [n_fragments, frag_names, frag_size, size]] end) end,
    out("fragments", Seen()),
    out("more", [{?DB:change_table_frag(visit, {add_frag, [node()]}), Seen()} || _ <- [1, 2]]),
    out("less", {?DB:change_table_frag(visit, del_frag), Seen()}),
    out("read", In(fun() -> {?DB:read(visit, 7), length(?DB:index_read(visit, 1, #employee.name)), length(?DB:all_keys(visit))} end)),
    out("sum", In(fun() -> ?DB:foldl(fun({visit, N, _}, Sum) -> N + Sum end, 0, visit) end)),
    out("plain", ?DB:change_table_frag(visit, deactivate)),
    out("delete", ?DB:delete_table(visit)).

%% The same work in all kinds of activity, with arguments, retries and an exit.
kinds() ->
    Work = fun(K, V) -> ?DB:write({counter, K, V}), [{counter, K, V}] = ?DB:read(counter, K), V end,
    [out("kind", {K, ?DB:activity(K, Work, [kind, N])})
     || {N, K} <- lists:zip(lists:seq(1, 6), [transaction, {transaction, 3}, sync_transaction, async_dirty, sync_dirty, ets])],
    out("arguments", [?DB:transaction(Work, [kind, 7]), ?DB:sync_transaction(Work, [kind, 8], 2), ?DB:async_dirty(Work, [kind, 9])]),
    out("exits", [catch ?DB:activity(K, fun() -> ?DB:abort(enough) end) || K <- [transaction, async_dirty, ets]]),
    out("in a dirty one", ?DB:async_dirty(fun() -> {?DB:is_transaction(), ?DB:transaction(fun() -> ?DB:is_transaction() end), ?DB:is_transaction()} end)),
    out("schema in one", ?DB:transaction(fun() -> ?DB:create_table(never, []) end)),
    out("left", ?DB:dirty_read(counter, kind)).

locks() ->
    out("locks", ?DB:transaction(fun() ->
        [?DB:lock({table, dept}, write), ?DB:lock({record, counter, a}, write), ?DB:lock({global, office, [node()]}, write),
         ?DB:read_lock_table(employee), ?DB:write_lock_table(sequence)]
    end)),
    out("no lock", [?DB:transaction(fun() -> ?DB:lock({table, dept}, tight) end), catch ?DB:read_lock_table(dept)]).

%% A search in chunks ends with its transaction.
continuations() ->
    Spec = [{{entry, '$1', '_'}, [{'<', '$1', 10}], ['$1']}],
    {atomic, {First, Cont}} = ?DB:transaction(fun() -> ?DB:select(sequence, Spec, 3, read) end),
    out("first", First),
    out("later", ?DB:transaction(fun() -> ?DB:select(Cont) end)),
    out("no more", ?DB:transaction(fun() -> ?DB:select('$end_of_table') end)),
    out("junk", ?DB:transaction(fun() -> ?DB:select(junk) end)).

info() ->
    out("info", [{I, ?DB:table_info(employee, I)} || I <- [type, arity, index, record_name, storage_type, access_mode, where_to_read, wild_pattern]]),
    out("system", [{I, ?DB:system_info(I)} || I <- [is_running, db_nodes, running_db_nodes, use_dir, held_locks, lock_queue]]),
    out("wait", [?DB:wait_for_tables([employee, nowhere], 1), ?DB:force_load_table(employee), ?DB:force_load_table(nowhere)]),
    out("copies", [?DB:add_table_copy(employee, node(), ram_copies), ?DB:change_table_copy_type(employee, node(), ram_copies),
                   ?DB:del_table_copy(nowhere, node())]),
    out("text", [?DB:error_description(R) || R <- [no_transaction, {no_exists, t}, {aborted, {bad_type, t, x}}, nonsense]]).

errors() ->
    [out("error", catch ?DB:F(A)) || {F, A} <- [{dirty_read, {nowhere, 1}}, {dirty_write, {employee, 1}}, {write, {employee, 1, 2, 3, 4}}, {delete_table, nowhere}]],
    out("error", ?DB:transaction(fun() -> ?DB:read(nowhere, 1) end)),
    out("text", ?DB:error_description({aborted, {no_exists, nowhere}})).
