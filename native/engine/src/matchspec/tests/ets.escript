#!/usr/bin/env escript
%% Writes ets.txt (OTP 25): escript ets.escript 2000 1 > ets.txt. Random, but with the seed given.
main([Count, Seed]) ->
    rand:seed(exsss, list_to_integer(Seed)),
    R = {r, 1, 2.0, [a, b], <<"bb">>},
    M = {r, {x, 1}, #{a => 1, {c} => [], 1.0 => #{k => v}}, [1, 2 | 3], 1 bsl 70},
    [line(T, S) || S <- by_hand(), T <- [R, M]],
    [begin {T, S} = random(), line(T, S) end || _ <- lists:seq(1, list_to_integer(Count))].

line(Tuple, Spec) ->
    T = ets:new(t, [{keypos, 2}]),
    ets:insert(T, Tuple),
    Answer = try ets:select(T, Spec) catch error:_ -> badarg end,
    ets:delete(T),
    Text = lists:flatten(io_lib:format("~w\t~w\t~w", [Tuple, Spec, Answer])),
    case length(Text) < 2000 of true -> io:put_chars([Text, "\n"]); false -> ok end.

by_hand() ->
    Big = 1 bsl 70,
    Any = {'_','_','_','_','_'},
    Vars = {'_','$1','$2','$3','$4'},
    Bodies = [
        {'+',a,1}, {is_atom,{'+',a,1}}, {'+',{'+',a,1},1}, {'orelse',{'+',a,1},true}, {'=:=',{'+',a,1},'EXIT'},
        {'and',true,true,true}, {'and',false,a,true}, {'or',a,true,false}, {'or',false,false,true}, {'and',true}, {'and',a},
        {'andalso',a}, {'andalso',true,b}, {'andalso',false,b}, {'andalso',true,b,true}, {'andalso',5,5}, {'orelse',false,3},
        {'orelse',true,{'+',a,1}}, {'or',true,{'+',a,1}}, {'andalso',true,true,5}, {'xor',true,true}, {'xor',true,a}, {'not',1},
        {'+'}, {'+',1,2,3}, {foo,1}, {}, {{}}, {{a,b}}, {{a},b}, {1,2}, {const,{a}}, {const}, {const,a,b}, {{const,a}},
        {{{const,a}}}, [{const,'$_'}], [a|{const,1}], '_', '$_', '$$', '$1', '$9', '$01', '$a', '$', {'$_'}, {{'$$'}}, {{'$_'}},
        #{'$1' => '$2'}, #{k => '$_', {const,{a}} => {{'$1'}}}, #{a => {'+',a,1}}, #{a => {a}}, ['$1'|'$2'], ['$1'|'$3'],
        ['$3'|'$3'], [{'+',a,1}|{'+',a,1}], {is_record,'$_',r,5}, {is_record,'$_',r,4}, {is_record,'$_',x,5},
        {is_record,'$_',r,a}, {is_record,1,1,2}, {is_record,1,k,-1}, {is_record,1,k,Big}, {is_record,'$1',x,2},
        {is_record,'$_',r}, {element,1,'$_'}, {element,2,'$_'}, {element,5,'$_'}, {element,6,'$_'}, {element,0,'$_'},
        {element,1.0,'$_'}, {element,2,'$1'}, {element,Big,'$1'}, {hd,'$3'}, {tl,'$3'}, {tl,{tl,'$3'}}, {hd,{tl,'$3'}},
        {length,'$3'}, {length,[]}, {hd,[]}, {tl,[a]}, {size,'$_'}, {size,'$1'}, {size,'$4'}, {size,<<1:9>>}, {size,#{}},
        {byte_size,<<1:9>>}, {bit_size,<<1:9>>}, {bit_size,'$4'}, {bit_size,<<>>}, {map_size,'$2'}, {map_get,a,'$2'},
        {map_get,1.0,'$2'}, {map_get,1,'$2'}, {map_get,{{c}},'$2'}, {is_map_key,a,'$2'}, {is_map_key,b,'$2'}, {is_map_key,'$2',a},
        {map_get,k,{map_get,1.0,'$2'}}, {'=:=','$_','$_'}, {'==','$$',['$1','$2','$3','$4']}, {'<','$_','$1'}, {'>','$2','$3'},
        {'==',1,1.0}, {'=:=',1,1.0}, {'/=',1,1.0}, {'=/=',1,1.0}, {'==',[1],[1.0]}, {'==',#{1=>1},#{1.0=>1}},
        {'==',#{1=>1},#{1=>1.0}}, {'==',Big,1.0e300}, {'<',Big,1.1805916207174113e21}, {'==',Big,{float,Big}},
        {'bsl',1,-1}, {'bsl',0,Big}, {'bsl',1,Big}, {'bsl',-1,-Big}, {'bsl',1,100}, {'bsl',0,1.0}, {'bsr',Big,3}, {'bsr',-Big,3},
        {'bsr',-Big,100}, {'bsr',5,-3}, {'bsr',1,-1000000000}, {'bsr',0,-1000000000}, {'bsl',1,1000000000}, {'bnot',Big},
        {'bnot',5}, {'bnot',1.0}, {'div',Big,-3}, {'rem',-Big,7}, {'div',-7,2}, {'rem',-7,2}, {'div',1,0}, {'rem',1,0},
        {'div',1.0,2}, {'-',{'bsl',1,63}}, {abs,-Big}, {abs,-1.5}, {abs,a}, {'/',Big,2}, {'/',4,2}, {'/',4,0}, {'/',4,0.0},
        {trunc,1.0e25}, {round,-2.5}, {round,2.5}, {round,0.49999999999999994}, {round,a}, {float,Big}, {float,a}, {'*',0,1.0e300},
        {'*',1.0e300,1.0e300}, {'+',1 bsl 1100,0.0}, {'*',Big,Big}, {'-',Big,Big}, {'bor',Big,-1}, {'bxor',Big,-1},
        {'bxor',Big,Big}, {'band',-1,Big}, {'band',1.0,1}, {'-',0.0}, {'*',-1,0.0}, {'+',a}, {'-',a}, {'+',1.5},
        {binary_part,<<1,2,3>>,0,5}, {binary_part,<<1,2,3>>,{{1,-1}}}, {binary_part,<<1,2,3>>,3,-2}, {binary_part,<<1:9>>,0,1},
        {binary_part,<<1:9>>,0,2}, {binary_part,'$4',1,1}, {node}, {node,a}, {is_pid,{self}}, {self,1}, {is_port,{self}},
        {is_boolean,true}, {is_bitstring,<<1:3>>}, {floor,1.2}, {ceil,1.2}, {tuple_size,'$_'}, {min,1,2}, {max,1,2},
        {is_function,a}, {is_function,a,1}, {is_list,'$3'}, {is_list,[]}, {is_number,'$1'}, {is_binary,<<1:3>>}, {is_map,'$2'},
        {is_seq_trace}, {set_seq_token,a,b}, {message,a}, {display,a}, {return_trace}, {caller}, {trace,[],[]}, {silent,true},
        {get_tcw}, {'float',1 bsl 64 * 3 + 1}, {float,(1 bsl 117) + (1 bsl 64) + 1}, {'*',1.5,1 bsl 63}],
    Heads = [
        '_', '$1', Any, Vars, {r,'_','_','_','_'}, {x,'_','_','_','_'}, {'$0','$0','_','_','_'}, {'$1','_','_',['$1'|'_'],'_'},
        {'_','_'}, a, [a], ['$1'], {}, #{}, #{a => '$1'}, #{'$1' => a}, #{'_' => a}, {'_','_',#{'$1' => 1},'_','_'},
        {'_','_',#{a => '$1'},'_','_'}, {'_','_',#{a => 1},'_','_'}, {'_','_',#{},'_','_'}, {'_','_',#{a => 1.0},'_','_'},
        {'_','_',#{1.0 => #{}},'_','_'}, {'_','_',#{{c} => '$1', a => '$2'},'_','_'}, {'_','_',#{{'_'} => '$1'},'_','_'},
        {'_','_',#{1.0 => #{k => '$1'}},'_','$2'}, {'_',{x,'$1'},'_',['$1'|'$2'],'_'}, {'_',{x,'$1'},'_',['$1','$2'|'$3'],'_'},
        {'_','_','_',['$1'|'$2'],'_'}, {'_','_','_',['$1','$2'],'_'}, {'_','_','_',['$1','$1'],'_'}, {'_','_','_',[a,b|'$1'],'_'},
        {'_','_','_',[a,b,c|'$1'],'_'}, {'_','_','_',['$1'|'_'],'_'}, {'_','_','_',['_'|'$2'],'$2'}, {'_','_','_',['$1',2|3],'_'},
        {'_','_','_',['$1',2|'$1'],'_'}, {'_','_','_',[{'$1'}|'_'],'_'}, {'_','_',2,'_','_'}, {'_','_',2.0,'_','_'},
        {'_',1,'_','_','_'}, {'_',1.0,'_','_','_'}, {'_',{x,1},'_','_','_'}, {'_',{x,'_'},'_','_','_'}, {{x,'$1'},'_','_','_','_'},
        {'_','$5','_','$3','_'}, {'_',#{},'_','_','_'}, {'$1','$2','$1','_','_'}, {'_','_','_',['$1'|{'$2'}],'_'}],
    Guards = [[], [true], [false], [1], ['_'], ['$1'], ['EXIT'], [{const,true}], [{{true}}], [[true]], [{}], [{'$1'}], [{a,b}],
        [true|true], true, [{'+',a,1}], [{'orelse',{'+',a,1},true}], [{'orelse',true,{'+',a,1}}], [{is_atom,{'+',a,1}}],
        [{'not',{'+',a,1}}], [{'andalso',true,5}], [{'and',true,true},{'andalso',true}], [{'and'}], [{'andalso'}],
        [{'and',true,5}], [{'andalso',true,{'or',false,true}}], [true,{'==',a,a}], [{'==',1.0,1}], [{'=:=','_','_'}]],
    [[{Vars, [], [B]}] || B <- Bodies] ++ [[{Vars, [B], [x]}] || B <- Bodies] ++ [[{'_', [], [B]}] || B <- Bodies] ++
    [[{H, [], ['$$']}] || H <- Heads] ++ [[{H, [], ['$1']}] || H <- Heads] ++ [[{'$1', G, [x]}] || G <- Guards] ++
    [[{H, [], ['$_']}, {'_', [], [second]}] || H <- Heads] ++
    [[], [a], a, [{Any,[]}], [{Any,[],[]}], [{Any,[],a}], [{Any,[],['$_'|a]}], [{Any,[],['$_']}|a], [{Any,[],[a,{'+',a,1}]}],
     [{Any,[],[{'+',a,1},b]}], [{Any,[],[{foo},b]}], [{Any,[],[x]},{Any,[{foo}],[x]}], [{a,[],['$9']}], [{Any,[],[x],y}],
     [{'$1',[{'<',{element,2,'$1'},3}],['$1']}], [{{'_',#{},'_','_','_'},[],[a]},{{'_',1,'_','_','_'},[],[b]}],
     [{'$99999999',[],['$$']}], [{'$100000000',[],['$100000000']}], [{'$9999999999',[],['$9999999999']}],
     [{'$2147483647',[],['$2147483647']}], [{'$2147483648',[],['$2147483648']}], [{'$4294967297',[],['$1']}]].

pick(L) -> lists:nth(rand:uniform(length(L)), L).

scalar() -> pick([0, 1, 2, 3, -1, 1.0, 2.0, 0.5, -2.5, a, b, r, true, false, [], <<>>, <<"bb">>, <<1:3>>, 1 bsl 70, -(1 bsl 64), 1.0e300]).

data(0) -> scalar();
data(N) ->
    case rand:uniform(9) of
        1 -> list_to_tuple(some(N));
        2 -> some(N);
        3 -> [data(N - 1) | data(N - 1)];
        4 -> maps:from_list([{data(N - 1), data(N - 1)} || _ <- lists:seq(1, rand:uniform(3) - 1)]);
        _ -> scalar()
    end.

some(N) -> [data(N - 1) || _ <- lists:seq(1, rand:uniform(3) - 1)].

random() ->
    Tuple = {r, data(2), data(2), data(2), data(1)},
    Clauses = [clause(Tuple) || _ <- lists:seq(1, pick([1, 1, 2]))],
    {Tuple, Clauses}.

clause(Tuple) ->
    Head = case rand:uniform(8) of
        1 -> pick(['_', '$1', {r, '$1'}, {x, '$1', '_', '_', '_'}]);
        _ -> setelement(1, list_to_tuple([blur(E) || E <- tuple_to_list(Tuple)]), pick([r, r, '_', '$1']))
    end,
    Vars = case vars(Head, []) of [] -> [a, '$_']; Vs -> ['$_', '$$' | Vs] end,
    {Head, [expr(2, Vars) || _ <- lists:seq(1, pick([0, 0, 1, 1, 2]))], [expr(2, Vars)]}.

%% A pattern that has a good chance to match.
blur(T) ->
    case rand:uniform(10) of
        N when N =< 3 -> pick(['$1', '$2', '$3', '$4', '$5']);
        N when N =< 5 -> '_';
        6 -> data(1);
        _ when is_tuple(T) -> list_to_tuple([blur(E) || E <- tuple_to_list(T)]);
        _ when is_list(T), T =/= [] -> [blur(hd(T)) | blur(tl(T))];
        _ when is_map(T) -> maps:map(fun(_, V) -> blur(V) end, maps:without([K || K <- maps:keys(T), rand:uniform(3) =:= 1], T));
        _ -> T
    end.

vars(A, Acc) when is_atom(A) ->
    case atom_to_list(A) of [$$, D] when D >= $0, D =< $9 -> lists:usort([A | Acc]); _ -> Acc end;
vars(T, Acc) when is_tuple(T) -> vars(tuple_to_list(T), Acc);
vars([H | T], Acc) -> vars(T, vars(H, Acc));
vars(M, Acc) when is_map(M) -> vars(maps:values(M), Acc);
vars(_, Acc) -> Acc.

expr(0, Vars) ->
    case rand:uniform(3) of
        1 -> case scalar() of T -> T end;
        _ -> pick(Vars)
    end;
expr(N, Vars) ->
    E = fun() -> expr(N - 1, Vars) end,
    One = [is_atom, is_float, is_integer, is_list, is_number, is_tuple, is_map, is_binary, is_pid, 'not', abs, hd, tl, length,
        map_size, size, byte_size, bit_size, round, trunc, float, '+', '-', 'bnot', node],
    Two = ['+', '-', '*', '/', 'div', 'rem', 'band', 'bor', 'bxor', 'bsl', 'bsr', '<', '=<', '>', '>=', '==', '/=', '=:=', '=/=',
        'xor', element, map_get, is_map_key],
    case rand:uniform(24) of
        X when X =< 5 -> {pick(One), E()};
        X when X =< 13 -> {pick(Two), E(), E()};
        X when X =< 16 -> list_to_tuple([pick(['and', 'or', 'andalso', 'orelse']) | [E() || _ <- lists:seq(1, rand:uniform(3))]]);
        17 -> {list_to_tuple([E() || _ <- lists:seq(1, rand:uniform(4) - 1)])};
        18 -> [E() | E()];
        19 -> [E() || _ <- lists:seq(1, rand:uniform(3))];
        20 -> #{scalar() => E()}; % OTP 25 damages its heap (wrong answers, crashes) when keys are built from lists or maps
        21 -> {const, data(2)};
        22 -> {is_record, E(), pick([r, a]), pick([5, 1, 2])};
        23 -> pick([{binary_part, E(), E(), E()}, {element, 2, '$_'}, {map_get, E(), E()}, {pick(One), E(), E()}, {pick(Two), E()}]);
        _ -> expr(0, Vars)
    end.
