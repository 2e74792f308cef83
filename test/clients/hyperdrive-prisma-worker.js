// A Worker that reads and writes by Prisma's client, which `prisma generate` has made beside it.
import { PrismaPg } from "@prisma/adapter-pg";
import { PrismaClient } from "./generated/client.ts";

export default {
  async fetch(_request, env) {
    const prisma = new PrismaClient({ adapter: new PrismaPg({ connectionString: env.HYPERDRIVE.connectionString }) });
    const made = await prisma.person.create({ data: { name: "Edsger of Prisma" } });
    const renamed = await prisma.$transaction(async (tx) => {
      await tx.person.update({ where: { id: made.id }, data: { name: "Dijkstra of Prisma" } });
      return tx.person.findUnique({ where: { id: made.id }, select: { name: true } });
    });
    const found = await prisma.person.findMany({ where: { name: { contains: "Prisma" } }, select: { name: true } });
    const taken = await prisma.person.create({ data: { name: "Dijkstra of Prisma" } }).catch(({ code }) => code);
    return Response.json({ made: made.name, renamed, found, taken });
  },
};
