select * from pgbench_accounts limit 1000;
