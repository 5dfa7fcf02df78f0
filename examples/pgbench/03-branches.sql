select * from pgbench_branches;
