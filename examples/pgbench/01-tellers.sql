select * from pgbench_tellers;
